"""Content hashes of files: the manifests' and those that artifacts keep of their inputs."""

import hashlib
from pathlib import Path


def hash_file(path: Path) -> str:
    """sha256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(*paths: Path) -> str:
    """sha256 over the contents of several files in this order, hexadecimal."""
    return hashlib.sha256("".join(map(hash_file, paths)).encode()).hexdigest()
