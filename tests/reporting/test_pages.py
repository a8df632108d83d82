"""Tables as Markdown and LaTeX: what stands in them, and that LaTeX can read it."""

import re
from collections import Counter
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.config import Params, Variant, load_params
from pipeline.reporting import latex, markdown
from pipeline.reporting.captions import caption
from pipeline.reporting.reference import reference_tables
from pipeline.reporting.results import Cell, Results
from pipeline.reporting.table_specs import TABLES
from pipeline.reporting.tables import results_hash, table_records
from tests.reporting.conftest import write_run

PRESET = Path(__file__).parents[2] / "presets" / "embedded.yaml"


@pytest.fixture
def params() -> Params:
    return load_params(PRESET).model_copy(update={"seeds": [0, 1, 2]})


@pytest.fixture
def results(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """Three seeds of every row: 20 and deviations of -1, 0, 1; no other row was run."""
    monkeypatch.chdir(tmp_path)
    folder = layout.finetune_results_dir(params.dataset.name)
    for variant in params.rows:
        for seed in params.seeds:
            scores = {"depth": -20.0 + seed - 1, "reconstruction": -9.0, "segmentation": 19 + seed}
            write_run(folder, variant, seed, scores)
    return Results(params)


def page(params: Params, results: Results, table: str) -> str:
    records = table_records(params, table, results)
    frames = {"pretraining": Counter(ok=40, no_pose=2)}
    return markdown.render(params, table, results, records, frames, {"figure.png": "A figure"})


def lines_of(page: str, section: int) -> list[list[str]]:
    """Header and rows of the table in a section, without the rule."""
    lines = [line for line in page.split("\n## ")[section].splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def test_table_1(params: Params, results: Results) -> None:
    text = page(params, results, "000.t1")
    best, last = lines_of(text, 1), lines_of(text, 2)
    assert best[0][:4] == ["protocol", "pretraining", "depth: measured", "depth: PUBLISHED"]
    assert len(best) == len(last) == 1 + 3 * 6
    assert not any("PUBLISHED" in title for title in last[0])
    none = ["frozen", "no pretraining"]
    assert best[1] == [
        *none,
        *("-20.00 ± 1.00 (n=3)", "not in the paper"),
        *("-9.00 ± 0.00 (n=3)", "not in the paper"),
        *("20.00 ± 1.00 (n=3)", "not in the paper"),
    ]
    assert last[1] == [*none, "-21.00 ± 1.00 (n=3)", "-10.00 ± 0.00 (n=3)", "19.00 ± 1.00 (n=3)"]
    assert best[2] == ["frozen", "mean predictor", *["not run", "not in the paper"] * 3]
    reference = reference_tables()["000.t1.half"]
    published = [
        f"{reference.value('GEO', column.label):.2f}" for column in TABLES["000.t1"].columns
    ]
    (geo,) = [line for line in best if line[:2] == ["half-frozen", "GEO"]]
    assert geo[3::2] == published
    for fact in ("96 x 128", "resnet18", "random", "0, 1, 2", "12 / 5", results_hash(params)):
        assert fact in text
    assert "40 used, 2 skipped (no_pose 2)" in text
    assert "![A figure](figure.png)" in text


def test_a_table_of_paper_001(params: Params, results: Results) -> None:
    best = lines_of(page(params, results, "001.t1"), 1)
    assert best[0] == [
        "pretraining",
        *("ResNet50: measured", "ResNet50: PUBLISHED"),
        *("ResNet18: measured", "ResNet18: PUBLISHED"),
    ]
    reference = reference_tables()["001.t1"]
    rows = {line[0]: line[1:] for line in best[1:]}
    assert tuple(rows) == reference.rows
    assert rows["Pri3D(Geo)"] == [
        "20.00 ± 1.00 (n=3)", str(reference.value("Pri3D(Geo)", "ResNet50")),
        "not run", str(reference.value("Pri3D(Geo)", "ResNet18")),
    ]  # fmt: skip
    assert rows["Depth Prediction"][2:] == ["-", "-"]


def test_captions_say_what_was_measured_with_what(params: Params, results: Results) -> None:
    variants = params.variants | {
        "imagenet": params.variants["none"].model_copy(update={"init": "checkpoint"}),
        "set": Variant(losses=["set"]),
    }
    params = params.model_copy(update={"variants": variants})
    text = " ".join(caption(params, "001.t1", results))
    for fact in (
        "Column ResNet50: the paper's encoder; measured with resnet18, width x 0.25",
        "checkpoint (none given) (ImageNet Pre-training)",
        "Ours = VIEW+GEO, then set-InfoNCE",
        "Second stage: 80 steps",
        "ScanNet frames_25k",
        "finetuning 60 steps (full)",
    ):
        assert fact in text
    assert "depth -100" not in text
    assert "Column ResNet18" not in text  # no such row is defined
    assert "PUBLISHED" in text
    assert "PUBLISHED" not in " ".join(caption(params, "001.t1", results, with_published=False))
    assert "drawn by scene" in " ".join(caption(params, "001.t2", results))
    assert "UNLISTED" in " ".join(caption(params, "000.s1", results))


def test_captions_say_which_rows_are_pretrained_otherwise(params: Params, results: Results) -> None:
    variants = params.variants | {
        "moco": Variant(losses=["moco"], moco={"steps": 30, "learning_rate": 0.125}),
        "geo": params.variants["geo"].model_copy(update={"colour": True}),
    }
    params = params.model_copy(update={"variants": variants})
    text = " ".join(caption(params, "001.t1", results))
    assert (
        "Pretrained otherwise: MoCoV2 (no pairs but single frames, 30 steps of 256 images at an "
        "initial rate of 0.125, with MoCo v2's crops"
    ) in text
    assert "Pretrained otherwise: Pri3D(Geo) (with Pri3D's colour jitter)." in text
    assert "Pretrained otherwise" not in " ".join(caption(params, "001.t2", results))
    elsewhere = params.model_copy(update={"pretrained_on": "elsewhere"})
    assert "Pretrained otherwise" not in " ".join(caption(elsewhere, "001.t1", results))


def test_captions_name_the_start_of_a_second_stage(params: Params, results: Results) -> None:
    start = params.variants["view_geo"].model_copy(update={"colour": True})
    variants = params.variants | {
        "view_geo": start,
        "set": Variant(losses=["set"]),
    }
    params = params.model_copy(update={"variants": variants})
    # Table 9 has no row of the start itself; Table 10 has, and one that goes on with the same.
    continued = "Pri3D Original, Pri3D Continue(View + Geo)"
    for table, names in (("001.t9", "view_geo"), ("001.t10", continued)):
        text = " ".join(caption(params, table, results))
        assert f"Pretrained otherwise: {names} (with Pri3D's colour jitter)." in text


def test_captions_except_the_shares_of_the_labels(params: Params, results: Results) -> None:
    assert "seeds, except the shares of the labels." in " ".join(caption(params, "001.t2", results))
    assert "for all seeds. " in " ".join(caption(params, "001.t1", results))


def test_captions_say_that_sets_from_labels_saw_the_validation_labels(
    params: Params, results: Results
) -> None:
    warning = "GT semantic sets: its sets are the regions of the labels of the validation"
    assert warning in " ".join(caption(params, "001.text", results))
    assert warning not in " ".join(caption(params, "001.t9", results))
    dataset = params.dataset.model_copy(update={"pretrain_split": "train"})
    apart = params.model_copy(update={"dataset": dataset})
    assert warning not in " ".join(caption(apart, "001.text", results))


def test_captions_give_the_networks_their_own_schedule(params: Params, results: Results) -> None:
    text = " ".join(caption(params, "001.t3", results))
    assert "finetuning as the networks' own schedule says." in text
    assert "heads of 32 channels, finetuned 60 steps of 8 images at an initial rate of" in text
    assert "(full)" not in text  # of params.finetuning, which no cell of it uses
    code = params.model_copy(
        update={"networks": params.networks.model_copy(update={"steps": None})}
    )
    assert "50,000 steps (DeepLab)" in " ".join(caption(code, "001.t3", results))


def test_captions_of_a_second_dataset(params: Params, results: Results) -> None:
    params = params.model_copy(update={"pretrained_on": "elsewhere"})
    text = " ".join(caption(params, "001.t6", results))
    assert "Pretrained on the dataset elsewhere" in text
    assert "NYUv2" in text
    assert "(NYUv2, 240 x 320" in " ".join(caption(params, "000.t1", results))
    assert "200 steps" not in text  # of this file's pretraining, which made nothing here


def test_what_the_params_leave_out_is_said(params: Params, results: Results) -> None:
    finetuning = params.finetuning.model_copy(update={"protocols": ["frozen"]})
    text = page(params.model_copy(update={"finetuning": finetuning}), results, "000.t1")
    assert "not asked for by these params: protocol half_frozen, protocol full." in text
    # The block that is left still says which it is.
    assert {line[0] for line in lines_of(text, 1)} == {"protocol", "frozen"}


def test_markdown_table_alignment() -> None:
    assert markdown.markdown_table(["a", "bbb"], [["cc", "1"]], 1).splitlines() == [
        "| a  | bbb |",
        "| :- | --: |",
        "| cc |   1 |",
    ]


#: What may stand in a table after a backslash, without one: letters, or one other character.
_TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|[{}&$%#_^~]|[^\\{}&$%#_^~]+", re.DOTALL)
_COMMANDS = {
    *(r"\begin", r"\end", r"\centering", r"\footnotesize", r"\caption", r"\label"),
    *(r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule", r"\multicolumn"),
    *(r"\textit", r"\textsuperscript", r"\pm", r"\times"),
    *(r"\textbackslash", r"\textasciitilde", r"\textasciicircum"),
    *(r"\textless", r"\textgreater", r"\textbar"),
}
_SYMBOLS = {r"\&", r"\%", r"\$", r"\#", r"\_", r"\{", r"\}", r"\\", r"\(", r"\)"}


def check_latex(text: str) -> None:
    """Read LaTeX as TeX would: groups, mathematics and environments end, tables are rectangular."""
    assert text.isascii()
    text = re.sub(r"(?m)^%.*\n", "", text)
    depth, in_math, environments = 0, False, []
    for token in _TOKEN.findall(text):
        if token.startswith("\\"):
            assert token in _COMMANDS | _SYMBOLS, token
            in_math = {r"\(": True, r"\)": False}.get(token, in_math)
            assert in_math or token not in (r"\pm", r"\times")
        elif token == "$":
            in_math = not in_math
        elif token in "{}":
            depth += 1 if token == "{" else -1
            assert depth >= 0
        else:
            assert token not in "%#_^~", token
    assert (depth, in_math) == (0, False)
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            environments.append(name)
        else:
            assert environments.pop() == name
    assert not environments
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.DOTALL):
        for row in re.findall(r"(?m)^(?!\\(?:top|mid|bottom|cmid)rule)(.+) \\\\$", body):
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", row)]
            cells = len(re.split(r"(?<!\\)&", row))
            assert cells - len(spans) + sum(spans) == len(columns)


@pytest.mark.parametrize(
    "text",
    [
        *("a_b", "50 % & b", "{a", "$1", r"\alpha", "m²", r"\begin{table}", r"1 \pm 2"),
        "\\begin{tabular}{lr}\na & b & c \\\\\n\\end{tabular}",
    ],
)
def test_the_reader_of_latex_finds_faults(text: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check_latex(text)


@pytest.mark.parametrize("table", TABLES)
def test_latex_can_be_read(params: Params, results: Results, table: str) -> None:
    hostile = params.model_copy(
        update={
            "model": params.model.model_copy(
                update={"init": "checkpoint", "init_checkpoint": "a_b/50%~{é}^\\$&#.pth"}
            )
        }
    )
    text = latex.render(hostile, table, results, table_records(hostile, table, results))
    check_latex(text)
    assert text.count(r"\begin{table}") == 2


def test_latex_shows_measured_beside_published(params: Params, results: Results) -> None:
    text = latex.render(params, "000.t1", results, table_records(params, "000.t1", results))
    value = reference_tables()["000.t1.frozen"].value("VIEW", "ScanNet depth")
    assert rf"frozen & VIEW & $-20.00 \pm 1.00$ (3) & ${value:.2f}$" in text
    assert r"frozen & mean predictor & \textit{not run} & --" in text
    assert results_hash(params) in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50% & #1_a", r"50\% \& \#1\_a"),
        ("{a}\\^~", r"\{a\}\textbackslash{}\textasciicircum{}\textasciitilde{}"),
        ("1 ± 2 m²", r"1 \(\pm\) 2 m\textsuperscript{2}"),
        ("é\n→", "e ?"),
    ],
)
def test_escapes(text: str, written: str) -> None:
    assert latex.escape(text) == written
    check_latex(written)


def test_latex_cells() -> None:
    assert latex.format_cell(Cell({0: 1.0, 2: 3.0}, {1: "not run"})) == (
        r"$2.00 \pm 1.41$ (2; 1 missing)"
    )
    assert latex.format_cell(Cell({}, {0: "a_b", 1: "a_b"})) == r"\textit{a\_b}"
