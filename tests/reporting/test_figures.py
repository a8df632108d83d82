"""Qualitative figures: colours of depth, missing models, the same bytes on every run."""

from pathlib import Path

import cv2
import numpy as np

from pipeline.reporting.figures import (
    INVALID_BLUE,
    colour_depth,
    depth_range,
    draw_depths,
    draw_reconstructions,
)

DEPTH = np.linspace(1, 3, 48, dtype=np.float32).reshape(1, 6, 8)
IMAGE = np.random.default_rng(0).integers(0, 255, (1, 6, 8, 3)).astype(np.uint8)


def test_invalid_depth_is_saturated_blue() -> None:
    depth = DEPTH[0].copy()
    depth[0, :3] = [0, np.nan, -1]
    picture = colour_depth(depth, 1.0, 3.0)
    assert (picture[0, :3] == INVALID_BLUE).all()
    valid = picture.reshape(-1, 3)[3:]
    assert not (valid == INVALID_BLUE).all(axis=1).any()
    brightness = valid.sum(axis=1).astype(int)
    assert (np.diff(brightness) > -15).all()
    assert brightness[-1] > brightness[0] + 300


def test_depth_range() -> None:
    near, far = depth_range(np.array([0, np.nan, 1, 2, 3.0]))
    assert 1 <= near < 1.1
    assert 2.9 < far <= 3
    assert depth_range(np.zeros(4)) == (0.0, 1.0)


def test_figures_are_reproducible(tmp_path: Path) -> None:
    for name in ("first", "second"):
        draw_reconstructions(tmp_path / f"{name}.png", ["a"], IMAGE, {"VIEW": IMAGE, "GEO": None})
        draw_depths(
            tmp_path / f"{name}_depth.png", ["a"], IMAGE, DEPTH, {"VIEW": -DEPTH, "GEO": DEPTH}
        )
    for kind in (".png", "_depth.png"):
        assert (tmp_path / f"first{kind}").read_bytes() == (tmp_path / f"second{kind}").read_bytes()
    assert cv2.imread(str(tmp_path / "first.png")).shape[1] > 300
