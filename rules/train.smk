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


rule continue_pretraining:
    input:
        stage_inputs("continue_pretraining"),
    output:
        str(layout.stamp("continue_pretraining@{item}")),
    log:
        "logs/continue_pretraining/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage continue_pretraining@{wildcards.item:q} > {log:q} 2>&1"


rule finetune:
    input:
        stage_inputs("finetune"),
    output:
        str(layout.stamp("finetune@{item}")),
    log:
        "logs/finetune/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage finetune@{wildcards.item:q} > {log:q} 2>&1"


rule finetune_segmentation:
    input:
        stage_inputs("finetune_segmentation"),
    output:
        str(layout.stamp("finetune_segmentation@{item}")),
    log:
        "logs/finetune_segmentation/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage finetune_segmentation@{wildcards.item:q} > {log:q} 2>&1"


rule finetune_fraction:
    input:
        stage_inputs("finetune_fraction"),
    output:
        str(layout.stamp("finetune_fraction@{item}")),
    log:
        "logs/finetune_fraction/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage finetune_fraction@{wildcards.item:q} > {log:q} 2>&1"


rule finetune_network:
    input:
        stage_inputs("finetune_network"),
    output:
        str(layout.stamp("finetune_network@{item}")),
    log:
        "logs/finetune_network/{item}.log",
    shell:
        "OMP_NUM_THREADS={threads} exec python -m pipeline run-stage finetune_network@{wildcards.item:q} > {log:q} 2>&1"
