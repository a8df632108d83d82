"""Scenes in processes, some of which are killed as by a system without memory."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from pipeline.stages.scene_pool import Outcome, in_processes


def work(folder: Path, scene: str) -> Outcome:
    """Count the tries of a scene; `greedy` is killed, once `beside` is at work if it is to be."""
    with (folder / scene).open("a") as tries:
        tries.write("x")
    if scene == "greedy":
        beside = folder / "beside"
        while (folder / "wait").exists() and not (beside.exists() and beside.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    if scene == "beside" and (folder / scene).read_text() == "x":
        time.sleep(5)
    return Outcome(scene, "made", "")


def outcomes(folder: Path, scenes: list[str], jobs: int) -> list[tuple[str, str]]:
    found = in_processes(partial(work, folder), scenes, jobs)
    return sorted((outcome.scene, outcome.kind) for outcome in found)


def test_scenes_after_a_killed_one_are_made(tmp_path: Path) -> None:
    found = outcomes(tmp_path, ["a", "greedy", "b", "c"], 1)
    assert found == [("a", "made"), ("b", "made"), ("c", "made"), ("greedy", "failed")]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a", "b", "c", "greedy"), "x"
    )


def test_a_scene_beside_a_killed_one_is_made(tmp_path: Path) -> None:
    (tmp_path / "wait").touch()
    found = outcomes(tmp_path, ["greedy", "beside", "a", "b"], 2)
    assert found == [("a", "made"), ("b", "made"), ("beside", "made"), ("greedy", "failed")]
    tries = {name: (tmp_path / name).read_text() for name in ("a", "b", "beside", "greedy")}
    # Python may notice the kill only when the one beside is done, which then counts.
    assert tries.pop("beside") in ("x", "xx")
    assert tries == {"a": "x", "b": "x", "greedy": "xx"}


def test_no_scenes() -> None:
    assert list(in_processes(partial(work, Path()), [], 2)) == []
