"""Parts of the labels: nested, seeded, whole scenes, never more than the share."""

import numpy as np
import pytest

from pipeline.data.label_fractions import describe_frames, draw_fraction
from pipeline.schemas import ArtifactError

PERCENTS = (1, 5, 10, 20, 40, 60, 80, 100)


def scene_keys(n_scenes: int = 60) -> list[tuple[str, int]]:
    """Scenes of 1 to 30 frames each."""
    sizes = np.random.default_rng(0).integers(1, 31, n_scenes)
    return [(f"scene{i:04d}", 25 * j) for i, size in enumerate(sizes) for j in range(size)]


@pytest.mark.parametrize("by", ["scene", "image"])
@pytest.mark.parametrize("seed", [0, 1])
def test_parts_are_nested_and_within_their_share(by, seed):
    keys = scene_keys()
    smaller: set[int] = set()
    for percent in PERCENTS[1:]:
        rows = draw_fraction(keys, percent, by, seed)
        assert rows == sorted(set(rows))
        assert smaller <= set(rows)
        assert len(rows) <= percent / 100 * len(keys)
        smaller = set(rows)
    assert len(smaller) == len(keys)


def slow_scenes(keys, percent, seed):
    """As Pri3D's count_images.py, on the drawn order: take scenes until one does not fit."""
    names = sorted({scene for scene, _ in keys})
    order = np.random.default_rng([seed, *b"labels"]).permutation(len(names))
    taken, images = [], 0
    for index in order:
        images += sum(scene == names[index] for scene, _ in keys)
        if images > percent * len(keys) / 100:
            break
        taken.append(names[index])
    return taken


@pytest.mark.parametrize("percent", [5, 20, 80])
def test_whole_scenes_until_one_does_not_fit(percent):
    keys = scene_keys()
    rows = draw_fraction(keys, percent, "scene", 3)
    expected = slow_scenes(keys, percent, 3)
    assert [keys[row] for row in rows] == [key for key in keys if key[0] in expected]


def test_images_fill_the_share_exactly():
    keys = scene_keys()
    for percent in PERCENTS:
        rows = draw_fraction(keys, percent, "image", 0)
        assert len(rows) == percent * len(keys) // 100
    assert len({keys[row][0] for row in draw_fraction(keys, 20, "image", 0)}) > 40


def test_the_seed_decides_alone():
    keys = scene_keys()
    for by in ("scene", "image"):
        first = draw_fraction(keys, 20, by, 0)
        assert first == draw_fraction(list(keys), 20, by, 0)
        assert first != draw_fraction(keys, 20, by, 1)


@pytest.mark.parametrize(
    ("by", "remedy"), [("scene", "label_fractions.by: image"), ("image", "larger percentage")]
)
def test_nothing_fits(by, remedy):
    keys = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    with pytest.raises(ArtifactError, match=f"20 % of 4 labelled .* are 0.*{remedy}"):
        draw_fraction(keys, 20, by, 0)


def test_description_names_scenes_and_frames():
    keys = [("b", 3), ("a", 25), ("a", 0)]
    assert describe_frames(keys) == {"n_frames": 3, "scenes": {"a": [0, 25], "b": [3]}}
