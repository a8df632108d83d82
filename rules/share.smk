# The switch: once `python -m pipeline share-artifacts` has written manifests/DATASET/artifacts.dvc,
# `dvc push` and `dvc pull` carry the artifacts, and this rule keeps that file up to date.
if SHARED:

    rule share_artifacts:
        input:
            [str(layout.manifest(DATASET, kind)) for kind in layout.ARTIFACT_KINDS],
        output:
            update(SHARED),
        log:
            "logs/share_artifacts.log",
        shell:
            "python -m pipeline share-artifacts > {log:q} 2>&1"
