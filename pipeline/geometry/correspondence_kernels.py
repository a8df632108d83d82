"""Compiled parts of the correspondences: nearest voxel, nearest pixel, and Pri3D's depth tests."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import compile_kernel, find_cell


@compile_kernel
def _is_measured(z):
    return z > 0 and z < np.inf


@compile_kernel
def _place(T, x, y, z):
    return (
        T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3],
        T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3],
        T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3],
    )


@compile_kernel
def _back_project(K, u, v, z):
    return (u - K[0, 2]) / K[0, 0] * z, (v - K[1, 2]) / K[1, 1] * z, z


@compile_kernel
def nearest_voxels(depth, K, T_world_camera, slots, cells, voxel_size_m, grid_origin, radius_m):
    """Nearest voxel centre within the radius for every valid pixel.

    Returns:
        pixel, voxel int32 (N,) and distance float32 (N,), metres; pixels ascending.
    """
    pixel = np.empty(depth.size, np.int32)
    voxel = np.empty(depth.size, np.int32)
    distance = np.empty(depth.size, np.float32)
    n = 0
    reach = radius_m / voxel_size_m
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = np.float64(depth[v, u])
            if not _is_measured(z):
                continue
            x, y, z = _place(T_world_camera, *_back_project(K, u, v, z))
            # In units of voxels, with centres at whole numbers.
            x = (x - grid_origin[0]) / voxel_size_m - 0.5
            y = (y - grid_origin[1]) / voxel_size_m - 0.5
            z = (z - grid_origin[2]) / voxel_size_m - 0.5
            limit = reach * reach
            # The centre of the own cell is nearer than any other.
            i, j, k = np.int64(np.rint(x)), np.int64(np.rint(y)), np.int64(np.rint(z))
            best = np.int64(-1)
            own = (x - i) ** 2 + (y - j) ** 2 + (z - k) ** 2
            if own <= limit:
                best = find_cell(slots, cells, i, j, k)
            if best >= 0:
                limit = own
            elif own <= limit:
                for i in range(np.int64(np.ceil(x - reach)), np.int64(np.floor(x + reach)) + 1):
                    for j in range(np.int64(np.ceil(y - reach)), np.int64(np.floor(y + reach)) + 1):
                        for k in range(
                            np.int64(np.ceil(z - reach)), np.int64(np.floor(z + reach)) + 1
                        ):
                            square = (x - i) ** 2 + (y - j) ** 2 + (z - k) ** 2
                            if square < limit or (square == limit and best < 0):
                                row = find_cell(slots, cells, i, j, k)
                                if row >= 0:
                                    best, limit = row, square
            if best >= 0:
                pixel[n], voxel[n] = v * depth.shape[1] + u, best
                distance[n] = np.sqrt(limit) * voxel_size_m
                n += 1
    return pixel[:n].copy(), voxel[:n].copy(), distance[:n].copy()


@compile_kernel
def visible_points(depth, K, T_camera_point, points, tolerance_m):
    """Points whose depth agrees with the pixel that they fall on.

    Args:
        depth: float32 (H, W), metres.
        K: float64 (3, 3), pixels.
        T_camera_point: float64 (4, 4), frame of the points -> camera.
        points: float64 (N, 3), metres; rows with NaN are left out.
        tolerance_m: largest difference along z, exclusive, metres.

    Returns:
        pixel, point int32 (M,) and difference float32 (M,), metres.
    """
    height, width = depth.shape
    pixel = np.empty(len(points), np.int32)
    point = np.empty(len(points), np.int32)
    difference = np.empty(len(points), np.float32)
    n = 0
    for p in range(len(points)):
        x, y, z = _place(T_camera_point, points[p, 0], points[p, 1], points[p, 2])
        if not z > 0:
            continue
        u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
        # Truncation as in Pri3D: (-1, 0) counts as pixel 0.
        if not (-1 < u < width and -1 < v < height):
            continue
        column, row = np.int64(u), np.int64(v)
        seen = np.float64(depth[row, column])
        if _is_measured(seen) and abs(z - seen) < tolerance_m:
            pixel[n], point[n], difference[n] = row * width + column, p, abs(z - seen)
            n += 1
    return pixel[:n].copy(), point[:n].copy(), difference[:n].copy()


@compile_kernel
def camera_points(depth, K):
    """Camera points float64 (H W, 3) of every pixel; NaN where there is no depth."""
    points = np.full((depth.size, 3), np.nan)
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = np.float64(depth[v, u])
            if _is_measured(z):
                x, y, z = _back_project(K, u, v, z)
                p = v * depth.shape[1] + u
                points[p, 0], points[p, 1], points[p, 2] = x, y, z
    return points


#: Edge of the tiles, in pixels, whose depth range is kept to pass over occluded points.
_TILE = 8


@compile_kernel
def _depth_ranges(points, height, width):
    """Least and largest z of each tile of an image of camera points; inf, -inf without any."""
    tiles = ((height + _TILE - 1) // _TILE, (width + _TILE - 1) // _TILE)
    low, high = np.full(tiles, np.inf), np.full(tiles, -np.inf)
    for p in range(len(points)):
        z = points[p, 2]
        if z == z:
            row, column = p // width // _TILE, p % width // _TILE
            low[row, column] = min(low[row, column], z)
            high[row, column] = max(high[row, column], z)
    return low, high


@compile_kernel
def _sphere_extent(radius_m, z, focal, offset):
    """Largest distance along one image axis, pixels, to the projections of a sphere's points.

    Args:
        radius_m: radius of the sphere, metres.
        z: depth of its centre, metres.
        focal: focal length, pixels.
        offset: distance of the projected centre to the principal point, pixels, not negative.
    """
    s = radius_m / z
    if s >= 1:
        return np.inf
    return (s * s * offset + s * np.sqrt(focal**2 * (1 - s * s) + offset**2)) / (1 - s * s)


@compile_kernel
def nearest_pixels(points_a, T_b_a, points_b, size_b, K_b, radius_m):
    """For every point of a the pixel of b whose point is nearest in 3D, within the radius.

    Pixels are searched in square rings around the projection. A ring's pixels lie on rays that
    pass the point at a distance that grows with the ring: the search ends when that exceeds the
    best distance so far, so the result is that of trying all pixels.

    Args:
        points_a: float64 (N, 3), metres, camera a; rows with NaN are left out.
        T_b_a: float64 (4, 4), camera a -> camera b.
        points_b: float64 (H W, 3), metres, camera b; rows with NaN are no measurement.
        size_b: height, width, pixels.
        K_b: float64 (3, 3), pixels.
        radius_m: largest distance, metres.

    Returns:
        pixel_a, pixel_b: int32 (M,), flat indices.
    """
    height, width = size_b
    fx, fy, cx, cy = K_b[0, 0], K_b[1, 1], K_b[0, 2], K_b[1, 2]
    tile_low, tile_high = _depth_ranges(points_b, height, width)
    pixel_a = np.empty(len(points_a), np.int32)
    pixel_b = np.empty(len(points_a), np.int32)
    n = 0
    for p in range(len(points_a)):
        x, y, z = _place(T_b_a, points_a[p, 0], points_a[p, 1], points_a[p, 2])
        if not z > 1e-6:
            continue
        u, v = fx * x / z + cx, fy * y / z + cy
        extent_u = _sphere_extent(radius_m, z, fx, abs(u - cx))
        extent_v = _sphere_extent(radius_m, z, fy, abs(v - cy))
        left = np.int64(np.ceil(max(u - extent_u, 0)))
        right = np.int64(np.floor(min(u + extent_u, width - 1)))
        top = np.int64(np.ceil(max(v - extent_v, 0)))
        bottom = np.int64(np.floor(min(v + extent_v, height - 1)))
        if left > right or top > bottom:
            continue
        visible = False
        for j in range(top // _TILE, bottom // _TILE + 1):
            for i in range(left // _TILE, right // _TILE + 1):
                if tile_low[j, i] <= z + radius_m and tile_high[j, i] >= z - radius_m:
                    visible = True
        if not visible:
            continue
        column, row = np.int64(np.rint(u)), np.int64(np.rint(v))
        best, limit = np.int64(-1), radius_m * radius_m
        last = max(column - left, right - column, row - top, bottom - row)
        ring = max(0, left - column, column - right, top - row, row - bottom)
        while ring <= last and _ring_distance(u, v, z, ring - 0.5, fx, fy, cx, cy) ** 2 <= limit:
            for j in range(max(row - ring, top), min(row + ring, bottom) + 1):
                # Whole rows at top and bottom of the ring, its two ends in between.
                first, final, step = column - ring, column + ring, 2 * ring
                if abs(j - row) == ring:
                    first, final, step = max(first, left), min(final, right), 1
                for i in range(first, final + 1, step):
                    if i < left or i > right:
                        continue
                    q = j * width + i
                    dz = points_b[q, 2] - z
                    if not dz * dz <= limit:
                        continue
                    dx, dy = points_b[q, 0] - x, points_b[q, 1] - y
                    square = dx * dx + dy * dy + dz * dz
                    if square < limit or (square == limit and best < 0):
                        best, limit = q, square
            ring += 1
        if best >= 0:
            pixel_a[n], pixel_b[n] = p, best
            n += 1
    return pixel_a[:n].copy(), pixel_b[:n].copy()


@compile_kernel
def _ring_distance(u, v, z, offset, fx, fy, cx, cy):
    """Least distance, metres, of a point at (u, v, z) to the rays `offset` or more pixels away.

    All of them lie beyond one of four planes through the camera centre.
    """
    if offset <= 0:
        return 0.0
    slope_u, slope_v = abs(u - cx) + offset, abs(v - cy) + offset
    along_u = z * offset / np.sqrt(fx * fx + slope_u * slope_u)
    along_v = z * offset / np.sqrt(fy * fy + slope_v * slope_v)
    return min(along_u, along_v)
