"""claims.yaml: quotes stand in the papers, cells in the tables, effects in the numbers."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import Params, load_params
from pipeline.reporting.claims import Claim, Comparison, LeftOut, claims_file, claims_of
from pipeline.reporting.paper_effects import margin, paper_effect, published_score
from pipeline.reporting.table_specs import TABLES, Source

ROOT = Path(__file__).parents[2]
PAPERS = ROOT.parent / "shared" / "papers"
CLAIMS = claims_file().claims

#: Comparisons of which a paper's own numbers say the reverse of its sentence: claim, other data,
#: task. Both sentences are hedged ("slightly", "tends").
CONTRADICTED = {
    ("half_frozen_lin", False, "reconstruction"),
    ("full_lin", False, "depth"),
    ("full_lin", True, "segmentation"),
}


def plain(text: str) -> str:
    """Without italics and line breaks."""
    return re.sub(r"\s+", " ", text.replace("*", ""))


def paper_of(entry: Claim | LeftOut) -> str:
    return entry.paper if isinstance(entry, LeftOut) else entry.table[:3]


@pytest.mark.skipif(not PAPERS.is_dir(), reason=f"no papers in {PAPERS}")
@pytest.mark.parametrize("paper", ["000", "001"])
def test_quotes_are_verbatim(paper: str) -> None:
    (file,) = PAPERS.glob(f"{paper}_*.txt")
    text = plain(file.read_text(encoding="utf-8"))
    entries = [*CLAIMS, *claims_file().left_out]
    for entry in (entry for entry in entries if paper_of(entry) == paper):
        place = 0
        for piece in entry.quote.split(" […] "):
            place = text.find(piece, place)
            assert place >= 0, f"{entry.where}: {piece}"
            place += len(piece)


def test_ids_are_unique() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)


def test_what_the_issue_lists_is_there() -> None:
    """Issue 5, point 10, and the other claims of the two papers' tables."""
    assert {
        "frozen_reconstruction_view_geo",
        "frozen_depth_geo_view",
        "frozen_lin",
        "frozen_segmentation_view_best",
        "half_frozen_geo_best",
        "full_depth_with_geo",
        "set_continued",
        "set_stage_1",
        "set_thresholds",
        "learning_rate_same_data",
        "depth_loss",
        "set_gain_few_labels",
    } <= {claim.id for claim in CLAIMS}
    assert [claim.id for claim in CLAIMS if claim.derived] == [
        "full_segmentation_geo_view",
        "views_over_frames",
        "set_gain_few_labels",
    ]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_all_cells_stand_in_tables_with_a_number(claim: Claim) -> None:
    measured = set()
    for spec in TABLES.values():
        for *_, cell in spec.sources():
            measured |= {
                Source(row, cell.protocol, cell.task, cell.part)
                for row in (cell.row, cell.against)
                if row
            }
    for comparison in claim.comparisons():
        for _, source in comparison.terms:
            assert source in measured
            for data in claim.data:
                assert published_score(claim.table, source, data == "second") is not None


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_papers_numbers_agree_with_their_claims(claim: Claim) -> None:
    """All but the known contradictions; of "alike", within the margin that comes from them."""
    for on_second in [data == "second" for data in claim.data]:
        for comparison in claim.comparisons():
            effect = paper_effect(claim, comparison, on_second)
            assert effect is not None
            if claim.direction == "alike":
                assert abs(effect) <= margin(claim) + 1e-9
            else:
                task = comparison.terms[0][1].task
                assert (effect > 0) != ((claim.id, on_second, task) in CONTRADICTED)


def by_id(name: str) -> Claim:
    return next(claim for claim in CLAIMS if claim.id == name)


@pytest.mark.parametrize(
    ("name", "index", "on_second", "effect"),
    [
        ("frozen_reconstruction_view_geo", 0, False, -79.42 + 106.73),
        ("frozen_reconstruction_view_geo", 0, True, -79.87 + 120.69),
        ("frozen_lin_10_percent", 0, False, -25.73 + 0.9 * 28.88),  # depth, a negative score
        ("frozen_lin_10_percent", 2, False, 31.95 - 1.1 * 28.19),  # mIoU
        ("set_best", 3, False, 63.1 - 58.4),
        ("set_best_resnet18", 0, False, 57.2 - 37.5),
        ("set_few_labels", 0, False, 54.1 - 51.5),
        ("set_gain_few_labels", 0, False, (54.1 - 51.5) - (63.1 - 61.7)),
        ("set_networks", 5, False, 63.7 - 62.8),
        ("set_second_dataset", 5, True, 55.4 - 54.7),
        ("set_labels", 0, False, 66.4 - 63.1),
        ("set_asymmetric", 0, False, 0.0),
        ("learning_rate_second_data", 0, True, 54.90 - 51.43),
        # GEO (lin) is not printed; GEO+d (lin) is 1.0 % better.
        ("depth_loss", 1, False, 60.61 - 60.61 / 1.01),
    ],
)
def test_effects_of_the_papers(name: str, index: int, on_second: bool, effect: float) -> None:
    claim = by_id(name)
    found = paper_effect(claim, claim.comparisons()[index], on_second)
    assert found == pytest.approx(effect, abs=1e-9)


def test_margin_is_the_range_of_paper_001_table_9() -> None:
    assert margin(by_id("set_thresholds")) == pytest.approx(63.2 - 62.9)
    assert margin(by_id("set_labels")) == 0


def test_without_a_published_number_there_is_no_effect() -> None:
    claim = by_id("set_best")
    unknown = Comparison(((1.0, Source("none_r18", "frozen", "depth")),))
    assert paper_effect(claim, unknown, False) is None


def test_pairs() -> None:
    def pairs(claim: Claim) -> list[tuple[str, str]]:
        return [(a.row, b.row) for (_, a), (_, b) in (x.terms for x in claim.comparisons())]

    assert pairs(by_id("full_depth_with_geo")) == [
        ("geo", "view"),
        ("view_geo", "view"),
        ("view_geo_lin", "view"),
    ]
    assert pairs(by_id("depth_loss"))[1] == ("geo_lin_d", "geo_lin")
    thresholds = pairs(by_id("set_thresholds"))
    assert len(set(thresholds)) == 10
    assert all(a < b for a, b in thresholds)


def test_words() -> None:
    (gain,) = by_id("set_gain_few_labels").comparisons()
    assert gain.words == (
        "view_geo_then_set over view_geo, full segmentation, 20 % of the labels, over the same, "
        "all labels"
    )
    assert by_id("set_networks").comparisons()[-1].words == (
        "view_geo_then_set over view_geo, full segmentation, pspnet"
    )


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "presets" / "embedded.yaml")


def ids(params: Params, **changes) -> list[str]:
    return [claim.id for claim in claims_of(params.model_copy(update=changes))]


def test_claims_follow_the_tables(params: Params) -> None:
    of_table_1 = ids(params, tables=["000.t1"])
    assert of_table_1 == [
        claim.id for claim in CLAIMS if claim.table == "000.t1" and "pretraining" in claim.data
    ]
    assert ids(params, tables=["001.t9"]) == ["set_thresholds"]
    assert ids(params, tables=["001.t10"]) == [
        "set_stage_1",
        "set_continued",
        "continued_no_gain",
    ]
    # The other half of each pair stands in Table 1.
    assert "depth_loss" in ids(params, tables=["000.s1"])
    assert "set_labels" not in ids(params, tables=["001.text"])
    assert "set_labels" in ids(params, tables=["001.text", "001.t10"])


@pytest.mark.parametrize(("preset", "other"), [("paper_000", "001"), ("paper_001", "000")])
def test_a_recipe_is_not_judged_by_the_other_paper(preset: str, other: str) -> None:
    """Rows of both have the same names, but paper 001's have the depth loss."""
    found = claims_of(load_params(ROOT / "presets" / f"{preset}.yaml"))
    assert found
    assert not [claim.id for claim in found if claim.table.startswith(other)]


def test_small_reproduction_has_the_claims_of_its_two_tables() -> None:
    params = load_params(ROOT / "presets" / "small_reproduction.yaml")
    assert [claim.id for claim in claims_of(params)] == [
        claim.id
        for claim in CLAIMS
        if claim.table in ("000.t1", "001.t10")
        and "pretraining" in claim.data
        and not claim.id.startswith("half_frozen")  # a protocol that it leaves out
    ]


def test_protocols_that_are_not_asked_for_have_no_claims(params: Params) -> None:
    frozen = params.finetuning.model_copy(update={"protocols": ["frozen"]})
    assert all("frozen" in name and "half" not in name for name in ids(params, finetuning=frozen))


def test_on_a_second_dataset(params: Params) -> None:
    found = ids(params, tables=["000.t1", "000.s2", "001.t6", "001.t10"], pretrained_on="scannet")
    assert "learning_rate_second_data" in found
    assert "set_second_dataset" in found
    assert "frozen_lin" in found
    assert not {"frozen_depth_geo_view", "learning_rate_same_data", "set_continued"} & set(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"direction": "alike"}, "a margin goes with"),
        ({"margin_of": "001.t9"}, "a margin goes with"),
        ({"effect": 3.0}, "effect"),
        ({"rows": []}, "rows"),
        ({"tasks": ["detection"]}, "tasks"),
    ],
)
def test_a_wrong_entry_is_an_error(change: dict, message: str) -> None:
    entry = by_id("frozen_depth_geo_view").model_dump()
    with pytest.raises(ValidationError, match=message):
        Claim.model_validate(entry | change)
