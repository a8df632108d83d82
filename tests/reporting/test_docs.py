"""Generated docs are up to date, and the queries in them run."""

import ast
import re
from pathlib import Path

import duckdb
import pytest
import yaml

from pipeline.config import Params
from pipeline.readers import READERS
from pipeline.reporting.artifact_docs import (
    ABOUT,
    TOGETHER,
    artifacts_markdown,
    fill_layouts,
    params_schema,
    queries,
)
from pipeline.reporting.claim_docs import claims_markdown
from pipeline.reporting.measured_docs import read_measurements, speed_markdown
from pipeline.reporting.table_needs import needed_rows
from pipeline.reporting.table_specs import TABLES
from pipeline.schemas import SCHEMAS
from pipeline.stages.write_docs import generated_docs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OUTDATED = "run `python -m pipeline write-docs`"


def test_artifacts_page_is_generated() -> None:
    assert (DOCS / "artifacts.md").read_text(encoding="utf-8") == artifacts_markdown(), OUTDATED


def test_speed_page_is_generated() -> None:
    page = (DOCS / "speed.md").read_text(encoding="utf-8")
    assert page == speed_markdown(read_measurements()), OUTDATED
    assert "MinkUNet34C, 50,000 voxels: forward and backward" in page
    assert "##" not in speed_markdown({})


def test_claims_page_is_generated() -> None:
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == claims_markdown(), OUTDATED


def test_params_schema_is_generated() -> None:
    assert (DOCS / "params.schema.json").read_text(encoding="utf-8") == params_schema(), OUTDATED


def test_raw_trees_are_those_of_the_readers() -> None:
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    layouts = {name: reader.layout for name, reader in READERS.items()}
    assert text == fill_layouts(text, layouts), OUTDATED
    assert all(layout.strip() in text for layout in layouts.values())


def test_rows_of_the_tables_are_those_of_the_specs() -> None:
    text = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    for row in needed_rows(TABLES):
        assert f"| `{row}` " in text


@pytest.mark.parametrize("page", ["README.md", "docs/reproduction.md"])
def test_blocks_are_generated(page: str) -> None:
    """Cost, rows, and the tables of the runs in docs/measured."""
    assert Path(page).read_text(encoding="utf-8") == generated_docs()[Path(page)], OUTDATED


def test_missing_markers() -> None:
    with pytest.raises(KeyError, match="new_reader"):
        fill_layouts("<!-- layout scannet -->\n<!-- end -->\n", {"scannet": "", "new_reader": ""})


def test_every_column_is_described() -> None:
    assert set(ABOUT) == set(SCHEMAS)
    page = artifacts_markdown()
    for schema in SCHEMAS.values():
        for field in schema:
            assert f"| `{field.name}`" in page


def test_every_param_has_a_description() -> None:
    def undescribed(schema: dict, path: str) -> list[str]:
        return [
            f"{path}.{name}"
            for name, field in schema.get("properties", {}).items()
            if "description" not in field and "$ref" not in field and "default" not in field
        ]

    content = Params.model_json_schema()
    sections = {"params": content, **content["$defs"]}
    assert [item for name, part in sections.items() for item in undescribed(part, name)] == []


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Language and code of each block that can be run."""
    return re.findall(r"^```(python|sql)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def printed(code: str) -> object:
    """What the `print` that ends a block prints."""
    *body, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    call = last.value
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    assert call.func.id == "print"
    names: dict[str, object] = {}
    exec(compile(ast.Module(body, []), "docs/artifacts.md", "exec"), names)
    return eval(compile(ast.Expression(call.args[0]), "docs/artifacts.md", "eval"), names)


def test_every_table_has_queries_for_duckdb_and_pandas() -> None:
    assert list(queries()) == [*ABOUT, TOGETHER]
    for kind, text in queries().items():
        blocks = code_blocks(text)
        assert any(language == "sql" and kind in code for language, code in blocks) or (
            kind == TOGETHER
        )
        assert any(language == "python" and "pd.read_parquet" in code for language, code in blocks)


@pytest.mark.parametrize(
    ("language", "code"), code_blocks((DOCS / "artifacts.md").read_text(encoding="utf-8"))
)
def test_queries_of_the_page_return_rows(
    language: str, code: str, repository_of_raw_room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository_of_raw_room)
    rows = duckdb.sql(code).fetchall() if language == "sql" else printed(code)
    assert len(rows) > 0  # type: ignore[arg-type]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_citation_names_the_five_papers() -> None:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["license"] == "MIT"
    assert [reference["notes"].partition(",")[0] for reference in content["references"]] == [
        f"Paper 00{number}" for number in range(5)
    ]
    assert all(reference["authors"] for reference in content["references"])
