"""Before a stage reads artifacts: they are those of the manifests, which is what DVC records."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline import layout
from pipeline.digest import hash_file
from pipeline.stages.common import StageError

_AGAIN = "`snakemake --cores 2 all_artifacts`"
#: Files read at a time: a shared file system is slow for one.
READ_THREADS = 8


def check_artifacts(dataset: str, kinds: Iterable[str], contents: bool = True) -> None:
    """Check the files that the manifests of some artifact kinds list.

    Their bytes are read once and compared, because DVC knows only the manifests: sizes and times
    would miss a damaged file, and the files of other params after a `git checkout`. This takes
    seconds per 10 GB, beside a training that reads them again and again.

    Args:
        dataset: Name of the dataset.
        kinds: Artifact kinds.
        contents: Whether to compare the contents; without, the files only have to exist.

    Raises:
        StageError: a manifest, or a file that it lists, is missing, or has another content.
    """
    for kind in kinds:
        manifest = layout.manifest(dataset, kind)
        try:
            listed: dict[str, str] = json.loads(manifest.read_text(encoding="utf-8"))
        except OSError as error:
            raise StageError(f"{manifest}: {error.strerror}; {_AGAIN} makes it") from error
        if missing := [name for name in listed if not Path(name).is_file()]:
            raise StageError(
                f"{missing[0]}: missing ({len(missing)} of the {len(listed)} files that "
                f"{manifest} lists); {_how_to_get_them()}"
            )
        if contents and (other := _changed_files(listed)):
            raise StageError(
                f"{other[0]}: is not the file that {manifest} lists ({len(other)} of "
                f"{len(listed)} are not): damaged, or made with other params. Delete what is "
                f"damaged (`python -m pipeline validate {layout.artifacts_dir(dataset)}` names "
                f"it); {_AGAIN} makes it again"
            )


def _how_to_get_them() -> str:
    if ".dvc/tmp/exps/" in Path.cwd().as_posix():
        return (
            "`dvc exp run --queue` and `--temp` run in a copy, which has the artifacts only if DVC "
            "has them: `python -m pipeline share-artifacts`, commit, try again; or leave out the "
            "option"
        )
    return f"{_AGAIN} makes what is missing"


def _changed_files(listed: Mapping[str, str]) -> list[str]:
    """Names of the files whose sha256 is not the listed one.

    Args:
        listed: Name -> sha256; all files exist.
    """
    with ThreadPoolExecutor(READ_THREADS) as pool:
        found = pool.map(hash_file, map(Path, listed))
        return [name for name, sha256 in zip(listed, found, strict=True) if sha256 != listed[name]]
