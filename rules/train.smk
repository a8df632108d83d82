# DVC's long stages as Snakemake jobs: `dvc repro --single-item`, then a stamp (dvc_bridge.py).
# Their params are DVC's business: reconcile() removes the stamp of a stage whose params changed.
# `exec`: Slurm's SIGTERM before the time limit would end the shell, and with it the job.
rule pretrain:
    input:
        stage_inputs("pretrain"),
    output:
        str(layout.stamp("pretrain@{item}")),
    log:
        "logs/pretrain/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage pretrain@{wildcards.item:q} > {log:q} 2>&1"


rule finetune:
    input:
        stage_inputs("finetune"),
    output:
        str(layout.stamp("finetune@{item}")),
    log:
        "logs/finetune/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage finetune@{wildcards.item:q} > {log:q} 2>&1"
