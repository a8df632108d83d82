"""A training's progress as lines, on a terminal, and as metrics while it runs."""

import json
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from rich.console import Console

from pipeline import layout
from pipeline.__main__ import main
from pipeline.training import live_metrics, progress
from pipeline.training.live_metrics import LiveMetrics
from pipeline.training.progress import Progress
from tests.room import pair_batches, small_params
from tests.training.trainings import OPTIONS

LOSSES = {"loss": 1.5, "view": 0.5}


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(live_metrics, "INTERVAL_S", 0)


def table(folder: Path, name: str) -> list[tuple[int, float]]:
    header, *rows = (folder / "plots" / "metrics" / f"{name}.tsv").read_text().splitlines()
    assert header == f"step\t{name}"
    return [(int(step), float(value)) for step, value in (row.split("\t") for row in rows)]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told to."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_line_has_throughput_time_left_and_the_share_of_waiting(clock, capsys):
    shown = Progress("title", 10, 4, "pairs")
    for step in (1, 2):
        with shown.waiting():
            clock[0] += 0.5
        clock[0] += 1.5
        shown.update(step, LOSSES, 0.1)
    (line,) = capsys.readouterr().out.splitlines()  # the second is not due
    for part in ("title  step 1/10", "view 0.5000", "lr 0.1000", "0.50 steps/s", "2.0 pairs/s"):
        assert part in line
    assert "waits for data 25%  18 s left" in line
    assert shown.waiting_share == 0.25
    shown.update(10, LOSSES, 0.1)
    assert "step 10/10" in capsys.readouterr().out


def test_time_of_an_error_while_waiting_is_not_hidden():
    with pytest.raises(StopIteration), Progress("", 1, 1, "pairs").waiting():
        next(iter(()))


def test_a_terminal_shows_one_line_and_gets_its_cursor_back(monkeypatch, capsys):
    monkeypatch.setattr(progress, "Console", lambda: Console(force_terminal=True, width=200))
    with suppress(KeyError), Progress("title", 3, 4, "pairs") as shown:
        shown.update(1, LOSSES, 0.1)
        raise KeyError
    out = capsys.readouterr().out
    assert "\x1b[?25l" in out  # hidden
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")
    assert "step 1/3" in out


def test_metrics_go_on_from_the_step_of_the_checkpoint(tmp_path, every_step):
    first = LiveMetrics(tmp_path, 0)
    for step in range(1, 6):
        first.log(step, {"loss": 1 / step})
    loss = tmp_path / "plots" / "metrics" / "loss.tsv"
    loss.write_text(loss.read_text() + "6\t0.1")  # killed while it wrote this
    (tmp_path / "metrics.json").write_text('{"loss": ')
    (tmp_path / "plots" / "metrics" / "late.tsv").write_text("step\tlate\n4\t1.0\n")
    LiveMetrics(tmp_path, 3).log(4, {"loss": 9.0})
    assert table(tmp_path, "loss") == [(1, 1), (2, 0.5), (3, 1 / 3), (4, 9)]
    assert not (tmp_path / "plots" / "metrics" / "late.tsv").exists()
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 9.0, "step": 4}
    LiveMetrics(tmp_path, 0).log(1, {"loss": 2.0})
    assert table(tmp_path, "loss") == [(1, 2)]


def test_rows_are_not_denser_than_the_interval_but_for_the_last(tmp_path, clock):
    live = LiveMetrics(tmp_path, 0)
    for step in range(1, 8):
        clock[0] += 0.4
        live.log(step, {"loss": 0.0}, is_last=step == 7)
    assert [step for step, _ in table(tmp_path, "loss")] == [1, 4, 7]


def test_values_that_are_not_finite_are_kept(tmp_path, every_step):
    LiveMetrics(tmp_path, 0).log(1, {"loss": float("nan")})
    ((step, value),) = table(tmp_path, "loss")
    assert step == 1
    assert value != value


def test_nobody_is_told(tmp_path, monkeypatch, every_step):
    """Though a token of DVC's Studio is there, in a folder without git and DVC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STUDIO_TOKEN", "token")
    monkeypatch.setenv("DVC_STUDIO_REPO_URL", "git@example.org:a/b.git")
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "getaddrinfo", None)
    live = LiveMetrics(Path("live"), 0)
    live.log(1, LOSSES)
    live.log(2, LOSSES, is_last=True)
    assert {path.name for path in tmp_path.iterdir()} == {"live"}


def test_trainings_of_both_kinds_log_their_figures(enter, every_step):
    params = small_params(finetuning={"tasks": ["depth"], "protocols": ["full"]})
    enter(params)
    for command in ("pretrain", "finetune"):
        assert main([command, "--variant", "view", *OPTIONS]) == 0
    pretraining = layout.live_metrics(layout.stage_name("pretrain", "boxes", "view", 0))
    assert [step for step, _ in table(pretraining, "loss")] == list(range(1, 7))
    assert table(pretraining, "view") == table(pretraining, "loss")
    assert table(pretraining, "learning_rate")[0] == (1, 0.1)
    assert all(0 < share < 1 for _, share in table(pretraining, "waiting_share"))
    assert all(rate > 0 for _, rate in table(pretraining, "pairs_per_second"))
    metadata = json.loads((layout.pretrained("boxes", "view", 0) / "metadata.json").read_text())
    losses = [entry["loss"] for entry in metadata["history"]]
    assert [value for _, value in table(pretraining, "loss")] == pytest.approx(losses, abs=1e-5)
    finetuning = layout.live_metrics(layout.stage_name("finetune", "boxes", "view", 0))
    assert len(table(finetuning / "full-depth", "images_per_second")) == 6


def test_batches_move_and_are_pinned_as_a_whole(artifacts, monkeypatch):
    batch = pair_batches(artifacts, small_params())[0]
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    pinned = batch.pin_memory()
    assert torch.equal(pinned.images, batch.images + 1)
    assert pinned.names == batch.names
    moved = batch.to(torch.device("meta"))
    assert {moved.images.device.type, moved.pixel_a.device.type} == {"meta"}
