"""`use-preset`: copy a file of presets/ to params.yaml, never over somebody's own edits."""

import argparse
from pathlib import Path

from pipeline.atomic import write_text
from pipeline.config import load_params
from pipeline.stages.common import StageError
from pipeline.yaml_file import read_yaml

PRESETS = Path("presets")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("name", help="a file of presets/, without .yaml")
    parser.add_argument(
        "--raw", type=Path, help="raw folder, linked to the preset's dataset.raw_dir"
    )


def link_raw(raw_dir: Path, target: Path) -> None:
    """Make `raw_dir` a symbolic link to `target`, so that params.yaml holds no site's path.

    Raises:
        StageError: `target` is no folder, or `raw_dir` is something else already.
    """
    if not target.is_dir():
        raise StageError(f"{target}: no such folder")
    if raw_dir.is_symlink():
        raw_dir.unlink()
    elif raw_dir.exists():
        raise StageError(f"{raw_dir} exists and is no link: move it away, or leave out --raw")
    raw_dir.parent.mkdir(parents=True, exist_ok=True)
    raw_dir.symlink_to(target.resolve(), target_is_directory=True)


def run(args: argparse.Namespace) -> None:
    """Copy the preset.

    Raises:
        StageError: there is no such preset, or params.yaml has edits that would be lost.
    """
    presets = {file.stem: file for file in sorted(PRESETS.glob("*.yaml"))}
    if args.name not in presets:
        raise StageError(f"no preset {args.name!r}; there are: {', '.join(presets)}")
    current = Path("params.yaml")
    if current.exists():
        content = read_yaml(current)
        if not any(content == read_yaml(file) for file in presets.values()):
            raise StageError(
                "params.yaml equals none of presets/, so copying would lose your edits. Save it "
                "as presets/<name>.yaml (or delete it), then try again"
            )
    params = load_params(presets[args.name])
    if args.raw is not None:
        link_raw(Path(params.dataset.raw_dir), args.raw)
    text = presets[args.name].read_text()
    if not current.exists() or current.read_text() != text:
        write_text(current, text)
    print(f"params.yaml: preset {args.name}, dataset {params.dataset.name}")
