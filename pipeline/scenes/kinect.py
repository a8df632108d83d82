"""The faults of a structured-light depth camera."""

import numpy as np
from jaxtyping import Bool, Float32

#: Baseline between projector and camera of a Kinect, metres.
BASELINE_M = 0.075
#: Disparity is measured in eighths of a pixel of 640 x 480.
DISPARITY_STEP_PX = 1 / 8
#: Standard deviation of a disparity at 640 x 480, pixels.
DISPARITY_NOISE_PX = 0.09
RANGE_M = (0.4, 5.0)


def measure(
    rng: np.random.Generator,
    depth: Float32[np.ndarray, "h w"],
    cosine: Float32[np.ndarray, "h w"],
    is_shadowed: Bool[np.ndarray, "h w"],
    is_glass: Bool[np.ndarray, "h w"],
    focal_px: float,
    strength: float,
) -> np.ndarray:
    """What the camera reports of a true depth image.

    Args:
        rng: Source of the noise.
        depth: float32 (H, W), true depth along z in metres, 0 where nothing is.
        cosine: float32 (H, W), cosine between surface normal and direction to the camera.
        is_shadowed: bool (H, W), surface not seen by the projector, which stands beside the
            camera: the holes along edges.
        is_glass: bool (H, W), panes, where most of the pattern is lost.
        focal_px: Focal length at the size of `depth`, pixels.
        strength: 1 as measured on a Kinect, 0 only millimetres and the range remain.

    Returns:
        uint16 (H, W), millimetres, 0 invalid.

    Source: Khoshelham and Elberink 2012 (quantisation and noise of disparity: error in depth
        grows with its square); Handa et al. 2014 (shifts at edges, loss at grazing angles).
    """
    seen = depth.copy()
    if strength > 0:
        seen = _shift(rng, seen, strength)
        # Disparity at 640 x 480, whatever the size of the image.
        scale = np.float32(focal_px * (640 / depth.shape[1]) * BASELINE_M)
        step = np.float32(DISPARITY_STEP_PX * strength)
        noise = _blotches(rng, depth.shape) * np.float32(DISPARITY_NOISE_PX * strength)
        disparity = scale / np.maximum(seen, np.float32(0.1)) + noise
        disparity = np.rint(disparity / step) * step
        seen = np.where(seen > 0, scale / np.maximum(disparity, np.float32(1)), 0)
        # At grazing angles and on panes the pattern fades; in patches, not in single pixels.
        patch = _blotches(rng, depth.shape)
        seen[cosine < np.float32(0.16 * strength) * (1 + patch * np.float32(0.4))] = 0
        seen[is_glass & (patch > -0.8 / strength + 0.3)] = 0
        seen[is_shadowed & (strength > 0.05)] = 0
        seen[rng.random(depth.shape, np.float32) < 0.004 * strength] = 0
    seen[(seen < RANGE_M[0]) | (seen > RANGE_M[1])] = 0
    return np.rint(seen * 1000).astype(np.uint16)


def _blotches(rng: np.random.Generator, shape: tuple[int, ...]) -> Float32[np.ndarray, "h w"]:
    """Noise correlated over a few pixels, standard deviation 1: the matching window's size."""
    import cv2

    field = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 1.5)
    return field / field.std()


def _shift(rng: np.random.Generator, depth: np.ndarray, strength: float) -> np.ndarray:
    """Each pixel shows the depth of a place up to a pixel beside it: ragged edges."""
    height, width = depth.shape
    rows = np.arange(height)[:, None] + np.rint(_blotches(rng, depth.shape) * 0.6 * strength)
    columns = np.arange(width) + np.rint(_blotches(rng, depth.shape) * 0.6 * strength)
    rows = np.clip(rows, 0, height - 1).astype(np.intp)
    return depth[rows, np.clip(columns, 0, width - 1).astype(np.intp)]
