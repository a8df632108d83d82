"""The sparse convolution libraries by name."""

from pipeline.models.sparse.minkowski_sites import MinkowskiSites
from pipeline.models.sparse.sites import Sites
from pipeline.models.sparse.torch_sites import TorchSites

#: Name -> backend.
SPARSE_BACKENDS: dict[str, type[Sites]] = {"torch": TorchSites, "minkowski": MinkowskiSites}


def sparse_backend(name: str) -> type[Sites]:
    """The backend of a name.

    Raises:
        ValueError: there is none; the text lists those that there are.
        ModuleNotFoundError: its library is not installed; the text says how to install it.
    """
    if name not in SPARSE_BACKENDS:
        raise ValueError(
            f"sparse backend {name!r} is unknown; use one of: {', '.join(SPARSE_BACKENDS)}"
        )
    backend = SPARSE_BACKENDS[name]
    backend.check_installed()
    return backend
