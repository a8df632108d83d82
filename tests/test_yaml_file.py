"""Lists replaced in YAML files as people write them."""

from pathlib import Path

import pytest
import yaml

from pipeline.yaml_file import replace_lists

PRESETS = sorted((Path(__file__).parents[1] / "presets").glob("*.yaml"))
TEXT = """\
# Head
rows: [view,   geo]   # as in the paper
nested:
  names:
    - a  # first
    - b

  # of nothing
  empty: []
  other: {rows: [x], f: 0.20}
tables: [
  "000.t1",  # main
]
last: null
"""


def test_only_what_differs_is_written() -> None:
    same = {"rows": ["view", "geo"], "nested.names": ["a", "b"], "tables": ["000.t1"]}
    assert replace_lists(TEXT, same) == TEXT
    lists = {
        "rows": ["none"],
        "nested.names": ["c.1", "d"],
        "nested.empty": ["e"],
        "nested.other.rows": [],
        "tables": ["000.s1", "001.text"],
    }
    expected = """\
# Head
rows: [none]   # as in the paper
nested:
  names:
    - "c.1"
    - d

  # of nothing
  empty: [e]
  other: {rows: [], f: 0.20}
tables: ["000.s1", "001.text"]
last: null
"""
    assert replace_lists(TEXT, lists) == expected


@pytest.mark.parametrize("names", [["c"], [], ["c", "d", "e"]])
def test_lists_as_other_programs_write_them(names: list[str]) -> None:
    content = yaml.safe_load(TEXT)
    written = replace_lists(yaml.safe_dump(content), {"nested.names": names, "rows": names})
    content["nested"]["names"] = content["rows"] = names
    assert yaml.safe_load(written) == content


def test_long_lists_take_several_lines() -> None:
    names = [f"a_rather_long_name_{number}" for number in range(9)]
    written = replace_lists(TEXT, {"nested.empty": names, "rows": names})
    content = yaml.safe_load(written)
    assert content["rows"] == content["nested"]["empty"] == names
    assert max(map(len, written.splitlines())) <= 100
    assert "\n    a_rather_long_name_0, " in written
    assert "\n  ]\n" in written


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_can_be_rewritten(preset: Path) -> None:
    text = preset.read_text()
    written = replace_lists(text, {"rows": ["one"], "tables": ["000.t1"]})
    before, after = yaml.safe_load(text), yaml.safe_load(written)
    assert after == before | {"rows": ["one"], "tables": ["000.t1"]}
    assert replace_lists(text, {"rows": before["rows"], "tables": before["tables"]}) == text


@pytest.mark.parametrize("key", ["nowhere", "nested.nowhere", "last", "rows.a", "nested"])
def test_keys_without_a_list(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        replace_lists(TEXT, {key: []})
