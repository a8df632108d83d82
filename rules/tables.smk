# The end of the pipeline, and the record in dvc.lock of the artifacts that Snakemake made.
localrules:
    tables,
    artifacts,


rule predict_mean:
    input:
        stage_inputs("predict_mean"),
    output:
        str(layout.stamp("predict_mean@{item}")),
    log:
        "logs/predict_mean/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} python -m pipeline run-stage predict_mean@{wildcards.item:q} > {log:q} 2>&1"


rule tables:
    input:
        stage_inputs("tables"),
    output:
        str(layout.stamp("tables@{item}")),
    log:
        "logs/tables/{item}.log",
    shell:
        "python -m pipeline run-stage tables@{wildcards.item:q} > {log:q} 2>&1"


# A checkpoint: after it, Snakemake plans anew. What waits for artifacts that turned out to be the
# same as before has its stamp (run-stage) and is left out, instead of being submitted for nothing.
checkpoint artifacts:
    input:
        stage_inputs("artifacts"),
    output:
        str(layout.stamp("artifacts@{item}")),
    log:
        "logs/artifacts/{item}.log",
    shell:
        "python -m pipeline run-stage artifacts@{wildcards.item:q} --commit > {log:q} 2>&1"
