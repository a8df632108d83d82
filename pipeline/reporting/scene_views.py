"""Arrays behind the pictures of `inspect`: chosen pairs, spread matches, colours, projections."""

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, UInt8
from matplotlib import colormaps

from pipeline.reporting.figures import INVALID_BLUE

#: Following a match there and back should end within this distance of where it began, pixels.
RETURN_PX = 2.0
#: Grey of what is in no segment.
_NO_SEGMENT = 160


def choose_pair(
    pairs: Int32[np.ndarray, "p 2"], overlap: Float32[np.ndarray, " p"], target: float = 0.5
) -> tuple[int, int] | None:
    """The pair whose overlap is nearest to `target`; None if there is no pair.

    Half the surface in common shows both what matches and what does not.
    """
    if not len(pairs):
        return None
    best = int(np.argmin(np.abs(overlap - target)))
    return int(pairs[best, 0]), int(pairs[best, 1])


def spread_points(uv: Int[np.ndarray, "n 2"], n_points: int) -> Int[np.ndarray, " m"]:
    """Farthest-point sampling: indices of at most `n_points` points far from each other.

    Args:
        uv: (N, 2), pixels.
        n_points: how many are wanted.

    Returns:
        (min(n_points, distinct points),) indices; the first is the point nearest to the mean.
    """
    if not len(uv):
        return np.empty(0, np.int64)
    points = uv.astype(np.float64)
    chosen = [int(np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < n_points:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        farthest = int(np.argmax(distance))
        if distance[farthest] == 0:
            break
        chosen.append(farthest)
    return np.array(chosen)


def return_share(
    there: tuple[np.ndarray, np.ndarray], back: tuple[np.ndarray, np.ndarray], width: int
) -> float:
    """Share of matches a -> b that end near their start when followed back b -> a.

    Args:
        there: flat pixels in a, and their partners in b.
        back: flat pixels in b, and their partners in a.
        width: image width, pixels.

    Returns:
        Share in [0, 1] within `RETURN_PX`; a pixel of b without a way back counts as lost; NaN
        without matches.
    """
    pixel_a, pixel_b = there
    if not len(pixel_a):
        return float("nan")
    partner = np.full(max(int(pixel_b.max()), int(back[0].max(initial=0))) + 1, -1)
    partner[back[0]] = back[1]
    returned = partner[pixel_b]
    distance = np.hypot(returned % width - pixel_a % width, returned // width - pixel_a // width)
    return float(((returned >= 0) & (distance <= RETURN_PX)).mean())


def distinct_colours(n: int) -> UInt8[np.ndarray, "n 3"]:
    """Colours whose neighbours in the list differ strongly (hue by the golden ratio)."""
    return np.array(
        [
            [round(255 * x) for x in colorsys.hsv_to_rgb((i * 0.618034) % 1, s, v)]
            for i in range(n)
            for s, v in [((0.95, 1.0), (0.65, 0.95), (0.85, 0.7))[i % 3]]
        ],
        dtype=np.uint8,
    ).reshape(-1, 3)


def segment_colours(segment_id: Int32[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    """A colour for each of the segments, grey for -1 (none).

    Args:
        segment_id: int32 (N,), segment of each vertex or voxel.
    """
    palette = distinct_colours(int(segment_id.max(initial=-1)) + 1)
    # Row -1 is the last one.
    return np.concatenate([palette, np.full((1, 3), _NO_SEGMENT, np.uint8)])[segment_id]


def _greyed(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "n 3"]:
    """A grey copy, one row a pixel, for colours to stand out from; dark things stay grey, too."""
    grey = 70 + 0.45 * image.reshape(-1, 3).mean(axis=1, dtype=np.float64, keepdims=True)
    return grey.repeat(3, axis=1).round().astype(np.uint8)


def overlay_segments(
    image: UInt8[np.ndarray, "h w 3"],
    pixel: Int32[np.ndarray, " n"],
    segment_id: Int32[np.ndarray, " n"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Segments as colours over a grey image, which stays where no segment is known.

    Args:
        image: uint8 (H, W, 3), RGB.
        pixel: int32 (N,), flat indices.
        segment_id: int32 (N,), segment of each pixel; -1 none.
    """
    result = _greyed(image)
    known = segment_id >= 0
    shading = 0.45 + 0.55 * image.reshape(-1, 3)[pixel[known]].mean(axis=1, keepdims=True) / 255
    result[pixel[known]] = (segment_colours(segment_id[known]) * shading).round()
    return result.reshape(image.shape)


def overlay_distances(
    image: UInt8[np.ndarray, "h w 3"],
    is_invalid: Bool[np.ndarray, "h w"],
    pixel: Int32[np.ndarray, " n"],
    distance: Float[np.ndarray, " n"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Distances as colours (viridis) over a grey image; pixels without depth are saturated blue.

    Args:
        image: uint8 (H, W, 3), RGB.
        is_invalid: (H, W), pixels without depth.
        pixel: int32 (N,), flat indices; of several rows of a pixel the nearest counts.
        distance: (N,), share of the largest distance that counts as a match.
    """
    result = _greyed(image)
    result[is_invalid.reshape(-1)] = INVALID_BLUE
    farthest_first = np.argsort(-distance, kind="stable")
    colours = colormaps["viridis"](np.clip(distance[farthest_first], 0, 1))[:, :3] * 255
    result[pixel[farthest_first]] = colours.round()
    return result.reshape(image.shape)


def up_axis(rotations: Float64[np.ndarray, "f 3 3"]) -> tuple[int, int]:
    """World axis that points up, and its sign, if the cameras are held upright on average.

    Args:
        rotations: float64 (F, 3, 3), camera-to-world; their second column is `down`.
    """
    up = -rotations[:, :, 1].mean(axis=0)
    axis = int(np.argmax(np.abs(up)))
    return axis, 1 if up[axis] >= 0 else -1


@dataclass(frozen=True)
class View:
    """An orthographic view along a world axis.

    Attributes:
        axis: world axis of the line of sight.
        sign: the viewer sits at this end of the axis.
        right: world axis to the right, and its sign.
        up: world axis upwards, and its sign.
        cut: coordinate on `axis`: what lies between it and the viewer is cut away.
    """

    axis: int
    sign: int
    right: tuple[int, int]
    up: tuple[int, int]
    cut: float


def section_views(
    xyz: Float32[np.ndarray, "m 3"],
    centres: Float64[np.ndarray, "f 3"],
    vertical: tuple[int, int],
) -> dict[str, View]:
    """A plan and a side view, each cut through the cameras so that the room can be looked into.

    Args:
        xyz: float32 (M, 3), metres, voxel centres, world.
        centres: float64 (F, 3), metres, camera centres, world.
        vertical: world axis that points up, and its sign (`up_axis`).
    """
    axis, sign = vertical
    horizontal = [other for other in range(3) if other != axis]
    extent = np.ptp(xyz, axis=0)
    depth_axis, width_axis = sorted(horizontal, key=lambda other: extent[other])

    def cut(along: int, side: int) -> float:
        # Cutting at the cameras would leave little of a scene that lies all on one side of them.
        toward = [side * centres[:, along].mean(), np.percentile(side * xyz[:, along], 55)]
        return float(side * max(toward))

    # Right, up and toward the viewer are right-handed, so that pictures are not mirrored.
    def right_sign(right: int, up: tuple[int, int], toward: tuple[int, int]) -> int:
        unit = np.eye(3)
        cross = np.cross(up[1] * unit[up[0]], toward[1] * unit[toward[0]])
        return round(float(cross[right]))

    plan_up = (depth_axis, 1)
    return {
        "from above": View(
            axis,
            sign,
            (width_axis, right_sign(width_axis, plan_up, vertical)),
            plan_up,
            cut(axis, sign),
        ),
        "from the side": View(
            depth_axis,
            1,
            (width_axis, right_sign(width_axis, vertical, (depth_axis, 1))),
            vertical,
            cut(depth_axis, 1),
        ),
    }


def orthographic(
    coords: Int32[np.ndarray, "m 3"],
    xyz: Float32[np.ndarray, "m 3"],
    values: Float[np.ndarray, "m c"],
    view: View,
) -> Float[np.ndarray, "h w c"]:
    """Draw voxels as squares, the nearest to the viewer on top.

    Args:
        coords: int32 (M, 3), grid cells.
        xyz: float32 (M, 3), metres, voxel centres.
        values: (M, C), what is drawn.
        view: The view.

    Returns:
        (H, W, C), one pixel per cell, NaN where nothing is; row 0 at the top.
    """
    columns, rows = (
        sign * (coords[:, axis] - (coords[:, axis].min() if sign > 0 else coords[:, axis].max()))
        for axis, sign in (view.right, view.up)
    )
    shape = (int(rows.max(initial=0)) + 1, int(columns.max(initial=0)) + 1, values.shape[1])
    picture = np.full(shape, np.nan)
    kept = np.flatnonzero(view.sign * xyz[:, view.axis] <= view.sign * view.cut)
    # Later writes win: from the farthest voxel to the nearest.
    order = kept[np.argsort(view.sign * coords[kept, view.axis], kind="stable")]
    picture[shape[0] - 1 - rows[order], columns[order]] = values[order]
    return picture


def close_gaps(picture: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """Fill single empty cells between two known ones with their mean.

    A mesh whose vertices are about as far apart as the voxels leaves such gaps in its surfaces.
    """
    filled = picture
    for axis in (0, 1):
        before, after = (np.roll(filled, shift, axis) for shift in (1, -1))
        edge = np.zeros(picture.shape[:2], bool)
        edge[(slice(None), [0, -1]) if axis else [0, -1]] = True
        gap = np.isnan(filled) & ~edge[..., None]
        filled = np.where(gap, (before + after) / 2, filled)
    return filled
