"""Weights that would run code: nothing of it runs, and the message names what was refused."""

import copyreg
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.models.loading import CheckpointError, read_state

#: File that hostile weights try to make.
MARK = "code_ran"


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def _object_array() -> np.ndarray:
    array = np.empty(1, object)
    array[0] = Call(os.mkdir, MARK)
    return array


#: What stands where an array should -> the name that the message tells.
HOSTILE = {
    "a system call": (Call(os.system, f"touch {MARK}"), r"(posix|os)\.system"),
    "a folder": (Call(os.mkdir, MARK), r"(posix|os)\.mkdir"),
    "a builtin": (Call(eval, f"open('{MARK}', 'w')"), r"builtin(s|__)\.eval"),
    "an import": (Call(__import__, MARK), r"builtin(s|__)\.__import__"),
    "a function of numpy": (Call(np.savetxt, MARK, [1]), r"numpy.*savetxt"),
    "objects in an array": (_object_array(), "'O8'"),
    "a registered reconstructor": (Call(copyreg._reconstructor, dict, dict, {}), r"copy_?reg\."),
}


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fail where a test leaves the mark, by whatever way."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("what", HOSTILE)
def test_detectron2_pickle(what: str, protocol: int) -> None:
    value, named = HOSTILE[what]
    weights = {"stem.conv1.weight": np.ones(3, np.float32), "stem.conv1.norm.weight": value}
    content = {"model": weights, "__author__": "torchvision", "matching_heuristics": True}
    Path("R-50.pkl").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(CheckpointError, match=rf"R-50\.pkl: not a readable .*({named})"):
        read_state("R-50.pkl")


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("what", [what for what in HOSTILE if "array" not in what])
def test_torch_file(what: str, old_format: bool) -> None:
    value, _ = HOSTILE[what]
    state = {"conv1.weight": torch.ones(3), "bn1.weight": value}
    torch.save(state, "resnet50.pth", _use_new_zipfile_serialization=not old_format)
    with pytest.raises(CheckpointError) as error:
        read_state("resnet50.pth")
    assert "resnet50.pth: not a readable checkpoint" in str(error.value)
    # Torch's own message tells how to run the code after all.
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cposix\nsystem\n(S'touch code_ran'\ntR.",  # protocol 0, by hand
        b"(S'touch code_ran'\niposix\nsystem\n.",  # INST calls without REDUCE
        b"\x80\x02cbuiltins\ngetattr\ncnumpy\ndtype\nX\x07\x00\x00\x00__new__\x86R.",
        b"\x80\x04\x8c\x05numpy\x8c\x10f2py.diagnose.os\x93.",  # a dotted name
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85C\x01b\x87R.",
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02X\x01\x00\x00\x00aQ.",  # a persistent id
    ],
)
def test_opcodes(opcodes: bytes) -> None:
    Path("R-50.pkl").write_bytes(opcodes)
    with pytest.raises(CheckpointError, match=r"R-50\.pkl: not a readable checkpoint"):
        read_state("R-50.pkl")


@pytest.mark.parametrize(
    "content",
    [[1], {"model": [1]}, {"model": {"a": 1}}, {"model": {1: np.ones(1)}}, {}, np.ones(2)],
)
def test_other_contents_are_no_weights(content: object) -> None:
    Path("R-50.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r"R-50\.pkl.*no Detectron2 weights"):
        read_state("R-50.pkl")


def test_an_array_may_not_be_larger_than_its_bytes() -> None:
    """Numpy sees a shape and bytes, so it checks the one against the other."""
    array = np.arange(4, dtype=np.float32)
    data = pickle.dumps({"model": {"a": array}}, 2)
    # The shape of one axis, as a number of one byte: 4 -> 200.
    assert data.count(b"K\x04\x85") == 1
    Path("R-50.pkl").write_bytes(data.replace(b"K\x04\x85", b"K\xc8\x85"))
    with pytest.raises(CheckpointError, match=r"R-50\.pkl.*cannot reshape"):
        read_state("R-50.pkl")
