# Raw RGB-D sequences -> geometry artifacts (Snakemake's own) -> pretraining, finetuning and tables
# (DVC's stages, each run by one rule). README.md shows the commands.
from snakemake.utils import min_version

min_version("9.27")


include: "rules/common.smk"
include: "rules/raw.smk"
include: "rules/geometry.smk"
include: "rules/share.smk"
include: "rules/train.smk"
include: "rules/tables.smk"


rule all_tables:
    default_target: True
    input:
        stamps_of("tables", "artifacts"),
        lost_artifacts_in_use,
        SHARED,
        nothing_outdated,


rule all_artifacts:
    input:
        MANIFESTS,
        lost_artifacts,
        SHARED,
        nothing_outdated,
