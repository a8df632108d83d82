# The end of the pipeline, and the record in dvc.lock of the artifacts that Snakemake made.
localrules:
    tables,
    artifacts,


rule tables:
    input:
        stage_inputs("tables"),
    output:
        str(layout.stamp("tables@{item}")),
    log:
        "logs/tables/{item}.log",
    shell:
        "python -m pipeline run-stage tables@{wildcards.item} > {log} 2>&1"


rule artifacts:
    input:
        stage_inputs("artifacts"),
    output:
        str(layout.stamp("artifacts@{item}")),
    log:
        "logs/artifacts/{item}.log",
    shell:
        "python -m pipeline run-stage artifacts@{wildcards.item} --commit > {log} 2>&1"
