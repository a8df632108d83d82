"""Artifacts of two analytic rooms."""

from pathlib import Path

import pytest
from tests.room import write_room


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the artifacts of room_a and room_b."""
    folder = tmp_path_factory.mktemp("artifacts")
    for scene in ("room_a", "room_b"):
        write_room(folder, scene)
    return folder
