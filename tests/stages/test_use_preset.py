import argparse
import shutil
from pathlib import Path

import pytest

from pipeline.stages.common import StageError
from pipeline.stages.use_preset import run

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    shutil.copy(REPOSITORY / "presets/embedded.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def use(name: str, raw: Path | None = None) -> None:
    run(argparse.Namespace(name=name, raw=raw))


def test_copies_and_links_the_raw_folder(folder: Path) -> None:
    raw = folder / "somewhere"
    raw.mkdir()
    use("real_sequences", raw)
    assert (folder / "params.yaml").read_text() == (
        folder / "presets/real_sequences.yaml"
    ).read_text()
    assert (folder / "data/raw/real_sequences").resolve() == raw
    use("embedded")
    assert (folder / "params.yaml").read_text() == (folder / "presets/embedded.yaml").read_text()


def test_keeps_the_users_edits(folder: Path) -> None:
    params = folder / "params.yaml"
    params.write_text(params.read_text().replace("learning_rate: 0.1", "learning_rate: 0.2"))
    edited = params.read_text()
    with pytest.raises(StageError, match="equals none of presets/"):
        use("smoke")
    assert params.read_text() == edited


def test_a_comment_is_no_edit(folder: Path) -> None:
    params = folder / "params.yaml"
    params.write_text("# my note\n" + params.read_text())
    use("smoke")


def test_unknown_preset_lists_the_known(folder: Path) -> None:
    with pytest.raises(StageError, match="embedded"):
        use("nowhere")


def test_raw_folder_must_exist_and_hide_nothing(folder: Path) -> None:
    with pytest.raises(StageError, match="no such folder"):
        use("real_sequences", folder / "missing")
    (folder / "data/raw/real_sequences").mkdir(parents=True)
    with pytest.raises(StageError, match="is no link"):
        use("real_sequences", folder)
