"""Builds and runs segmentator.cpp, the C++ baseline of the oversegmentation."""

import shutil
import subprocess
from pathlib import Path

import numpy as np

from pipeline.geometry.mesh import Mesh

_SOURCE = Path(__file__).with_name("segmentator.cpp")


def compiler() -> str | None:
    """Path of g++, or None."""
    return shutil.which("g++")


class Segmentator:
    """The compiled baseline.

    Args:
        folder: For the program and its files.

    Raises:
        FileNotFoundError: there is no g++.
        subprocess.CalledProcessError: it does not compile.
    """

    def __init__(self, folder: Path) -> None:
        self._program = folder / "segmentator"
        self._mesh, self._ids = folder / "mesh.bin", folder / "ids.bin"
        command = ["g++", "-O2", "-std=c++17", "-o", str(self._program), str(_SOURCE)]
        subprocess.run(command, check=True)

    def load(self, mesh: Mesh) -> None:
        """Make this the mesh that is segmented."""
        with self._mesh.open("wb") as file:
            np.array([len(mesh.vertices), len(mesh.faces)], np.int32).tofile(file)
            mesh.vertices.astype(np.float32).tofile(file)
            mesh.faces.astype(np.int32).tofile(file)

    def run(
        self, k: float, min_vertices: int, repeats: int = 1, is_stable: bool = False
    ) -> tuple[float, np.ndarray]:
        """Median CPU seconds of the computation alone, and int32 (V,) segments."""
        order = "stable" if is_stable else "unstable"
        settings = [str(k), str(min_vertices), str(repeats), order]
        command = [str(self._program), str(self._mesh), str(self._ids), *settings]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(result.stdout), np.fromfile(self._ids, np.int32)


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labellings group the vertices alike."""
    pairs = len(np.unique(np.stack([a, b], axis=1), axis=0))
    return pairs == len(np.unique(a)) == len(np.unique(b))
