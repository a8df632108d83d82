"""Pinhole cameras: back-projection, projection, poses, and what resizing does to them.

Integer pixel coordinates are pixel centres; x right, y down, z forward; poses are camera-to-world.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped


def backproject(
    depth: Float32[np.ndarray, "h w"], K: Float64[np.ndarray, "3 3"]
) -> Float32[np.ndarray, "h w 3"]:
    """Back-project every pixel of a depth image.

    Args:
        depth: float32 (H, W), metres along z; 0 or NaN where invalid.
        K: float64 (3, 3), pixels.

    Returns:
        float32 (H, W, 3), metres, camera frame. Invalid pixels are not marked: mask them with
        `valid_depth`.

    Source: pri3d_family.md A.3 (integer pixel coordinates, z along the optical axis).
    """
    height, width = depth.shape
    rays_x = (np.arange(width) - K[0, 2]) / K[0, 0]
    rays_y = (np.arange(height) - K[1, 2]) / K[1, 1]
    xyz = np.empty((height, width, 3), dtype=np.float32)
    xyz[..., 0] = depth * rays_x[None, :]
    xyz[..., 1] = depth * rays_y[:, None]
    xyz[..., 2] = depth
    return xyz


def valid_depth(depth: Float[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Bool mask of the pixels with a measurement: finite and positive."""
    return np.isfinite(depth) & (depth > 0)


def transform(
    T: Float64[np.ndarray, "4 4"], xyz: Float[np.ndarray, "*shape 3"]
) -> Float[np.ndarray, "*shape 3"]:
    """Points in another frame: `T @ (x, y, z, 1)`, computed in float64.

    Args:
        T: float64 (4, 4), e.g. `T_world_camera` for points of the camera.
        xyz: (..., 3), metres.

    Returns:
        (..., 3), metres, dtype of `xyz`.
    """
    return (xyz @ T[:3, :3].T + T[:3, 3]).astype(xyz.dtype)


def project(
    xyz_camera: Float[np.ndarray, "n 3"], K: Float64[np.ndarray, "3 3"]
) -> tuple[Float64[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Project points of the camera frame.

    Args:
        xyz_camera: (N, 3), metres, camera frame.
        K: float64 (3, 3), pixels.

    Returns:
        uv: float64 (N, 2), pixels (column, row); without meaning where z <= 0.
        z: (N,), metres.
    """
    z = xyz_camera[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = xyz_camera[:, :2].astype(np.float64) / z[:, None]
        uv = uv * K[[0, 1], [0, 1]] + K[:2, 2]
    return uv, z


def invert_pose(T: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """True inverse of a pose.

    Poses of real trackers are not quite orthonormal (|R R^T - I| up to 4e-4), so the transpose of
    the rotation will not do.

    Raises:
        numpy.linalg.LinAlgError: singular matrix.
    """
    return np.linalg.inv(T)


def resize_intrinsics(
    K: Float64[np.ndarray, "3 3"], from_size: tuple[int, int], to_size: tuple[int, int]
) -> Float64[np.ndarray, "3 3"]:
    """Intrinsics after resizing the image.

    Args:
        K: float64 (3, 3), pixels at `from_size`.
        from_size: height, width, pixels.
        to_size: height, width, pixels.

    Returns:
        float64 (3, 3), pixels at `to_size`: u becomes (u + 0.5) s - 0.5, as pixel centres are
        integers.

    Source: DESIGN.md, names. Pri3D maps cx to cx (new-1)/(old-1) instead (A.7).
    """
    scale_y, scale_x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    resized = K.copy()
    resized[0] *= scale_x
    resized[1] *= scale_y
    resized[0, 2] += 0.5 * scale_x - 0.5
    resized[1, 2] += 0.5 * scale_y - 0.5
    return resized


def resize_depth(
    depth: Shaped[np.ndarray, "h w"], size: tuple[int, int]
) -> Shaped[np.ndarray, "h2 w2"]:
    """Nearest-neighbour resizing of a depth or label image, at pixel centres.

    Args:
        depth: (H, W), any dtype. Averaging would invent surfaces between foreground and background.
        size: height, width, pixels.

    Returns:
        (height, width), same dtype. Its pixel (u, v) is the raw pixel that contains the centre of
        (u, v).
    """
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for new, old in zip(size, depth.shape, strict=True)
    )
    return depth[rows[:, None], columns]
