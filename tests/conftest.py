"""Shared fixtures; array shapes and dtypes of every annotated function are checked in all tests."""

import os
from pathlib import Path

# Before torch and numba start their pools.
os.environ.setdefault("OMP_NUM_THREADS", "2")

import pytest
from jaxtyping import install_import_hook


def _modules() -> list[str]:
    """Every module of the package but the numba kernels, which a wrapper would break."""
    package = Path(__file__).parents[1] / "pipeline"
    names = [path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py")]
    return [
        ".".join(name.parts)
        for name in names
        if name.name not in {"__init__", "__main__"} and not name.name.endswith("_kernels")
    ]


install_import_hook(_modules(), "beartype.beartype")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def sequences() -> Path:
    """Folder with three short real RGB-D sequences; see its README for their licences."""
    folder = Path(os.environ.get("SEQUENCES", REPOSITORY.parent / "shared" / "sequences"))
    if not (folder / "holo_a").is_dir():
        pytest.skip(f"real sequences not found in {folder}; set SEQUENCES to their folder")
    return folder
