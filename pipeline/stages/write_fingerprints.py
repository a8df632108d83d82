"""`write-fingerprints`: the code of each stage as hashes, so that an edit reruns what uses it.

DVC's stages depend on these files and Snakemake's rules have them as params. Comments, formatting
and docstrings do not count; what a stage does not import does not either.
"""

import argparse
import ast
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.atomic import write_json
from pipeline.stages.common import StageError

#: Modules of pipeline.stages whose results somebody keeps.
STAGES = (
    "make_room",
    "extract_frames",
    "oversegment",
    "find_overlaps",
    "write_manifest",
    "pretrain",
    "finetune",
    "predict_mean",
    "make_tables",
)
#: Those that DVC runs and records.
DVC_STAGES = ("pretrain", "finetune", "predict_mean", "make_tables")
PACKAGE = Path(__file__).parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(args: argparse.Namespace) -> None:
    """Write fingerprints/STAGE.json of every stage; one that is right already is left alone."""
    for stage in STAGES:
        file, content = layout.fingerprint(stage), fingerprint(stage)
        if read_fingerprint(file) != content:
            write_json(file, content)


def fingerprint(stage: str) -> dict[str, str]:
    """Hash of every module that a stage imports, directly or not, by name.

    Imports inside functions count, those for type checkers do not. Packages that are only passed
    through on the way to a module do not either: importing one has no effect.

    Args:
        stage: One of `STAGES`.
    """
    module = f"{PACKAGE.name}.stages.{stage}"
    imported = _import_graph().find_upstream_modules(module)
    return {name: _module_hash(name) for name in sorted({module, *imported})}


def check_code(stage: str) -> None:
    """Under DVC, a stage must be the code that DVC is going to record as having made its outputs.

    Args:
        stage: Module of pipeline.stages that is about to run.

    Raises:
        StageError: a module that it imports was edited since the run started.
    """
    if stage not in DVC_STAGES or "DVC_STAGE" not in os.environ:
        return
    if edited := edited_modules(read_fingerprint(layout.fingerprint(stage)), fingerprint(stage)):
        raise StageError(
            f"{', '.join(edited)}: edited after this run started. Stages that have finished are "
            "kept; start again to go on with the edited code, or undo the edit before"
        )


def edited_modules(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of the modules in which two fingerprints differ."""
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def read_fingerprint(file: Path) -> dict[str, str]:
    """A fingerprint as written; empty if it is missing or damaged."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


@cache
def _import_graph() -> Any:
    import grimp

    return grimp.build_graph(PACKAGE.name, cache_dir=None, exclude_type_checking_imports=True)


@cache
def _module_hash(name: str) -> str:
    """Hash of a module's syntax tree and of the data files beside it that it names."""
    file = PACKAGE.parent.joinpath(*name.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    tree = ast.parse(file.read_bytes())
    digest = hashlib.sha256(repr(_essence(tree)).encode())
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    for beside in sorted(file.parent.iterdir()):
        if beside.suffix not in ("", ".py") and beside.name in texts:
            digest.update(beside.read_bytes())
    return digest.hexdigest()[:16]


def _essence(node: Any) -> Any:
    """A syntax tree without positions, docstrings and what is empty.

    Python versions differ in the fields that are empty, so `ast.dump` would differ, too.
    """
    if isinstance(node, ast.AST):
        fields = ((name, _essence(value)) for name, value in ast.iter_fields(node))
        return type(node).__name__, [field for field in fields if field[1] not in (None, [])]
    if isinstance(node, list):
        return [_essence(item) for item in node if not _is_docstring(item)]
    return node


def _is_docstring(node: Any) -> bool:
    """Whether it is a string that stands alone: it does nothing, at the top or further down."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
