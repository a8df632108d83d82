# Raw scene -> Parquet artifacts: at most three jobs a scene, then one manifest per artifact kind.
# --wait: jobs of a Snakemake that was killed may still be at work.
rule extract_frames:
    input:
        raw_files,
        labelled_files,
    output:
        [
            artifact(k)
            for k in ("frames", "voxels", "correspondences", "labelled_frames")
        ],
        mesh=str(layout.mesh(ARTIFACTS, "{scene}")),
    log:
        "logs/extract_frames/{scene}.log",
    params:
        code=code_of("extract_frames"),
        settings=PARAMS.values(
            "dataset.reader",
            "dataset.frame_stride",
            "dataset.image_size",
            "dataset.mesh",
            "labelled.reader",
            "labelled.frame_stride",
            "labelled.label_map",
            "geometry.voxel_size_m",
            "geometry.fusion",
            "geometry.matching",
        ),
    shell:
        "python -m pipeline extract-frames --wait {wildcards.scene:q} > {log:q} 2>&1"


rule oversegment:
    input:
        mesh=str(layout.mesh(ARTIFACTS, "{scene}")),
        voxels=artifact("voxels"),
        projected=artifact(
            "frames"
            if PARAMS.geometry.sets.projection == "ray_casting"
            else "correspondences"
        ),
    output:
        segments=artifact("segments"),
        sets=artifact("sets"),
    log:
        "logs/oversegment/{scene}.log",
    params:
        code=code_of("oversegment"),
        settings=PARAMS.values("geometry.oversegmentation", "geometry.sets"),
    shell:
        "python -m pipeline oversegment --wait {wildcards.scene:q} > {log:q} 2>&1"


rule find_overlaps:
    input:
        raw_files,
    output:
        artifact("overlaps"),
    log:
        "logs/find_overlaps/{scene}.log",
    params:
        code=code_of("find_overlaps"),
        settings=PARAMS.values(
            "dataset.reader",
            "dataset.frame_stride",
            "geometry.overlaps",
            *(
                ("dataset.image_size", "geometry.matching")
                if PARAMS.geometry.overlaps.pixel_pairs_from is not None
                else ()
            ),
        ),
    shell:
        "python -m pipeline find-overlaps --wait {wildcards.scene:q} > {log:q} 2>&1"


rule write_manifest:
    input:
        lambda wildcards: [artifact(wildcards.kind, scene) for scene in scenes()],
    output:
        str(layout.manifest(DATASET, "{kind}")),
    log:
        "logs/write_manifest/{kind}.log",
    params:
        code=code_of("write_manifest"),
    shell:
        "python -m pipeline write-manifest {wildcards.kind:q} > {log:q} 2>&1"


rule write_split:
    input:
        split_files(),
    output:
        str(layout.split(DATASET)),
    log:
        "logs/write_split.log",
    params:
        code=code_of("write_manifest"),
        settings=PARAMS.values("dataset.scenes", "dataset.validation_scenes"),
        scenes=lambda wildcards: scenes(),
    shell:
        "python -m pipeline write-manifest split > {log:q} 2>&1"
