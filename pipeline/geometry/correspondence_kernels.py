"""Compiled parts of the correspondences: nearest voxel, nearest pixel, and Pri3D's depth tests."""

# mypy: ignore-errors
# Inside compiled functions numba's types hold, which mypy does not know.
import numpy as np

from pipeline.geometry.grid_kernels import BLOCK, block_of, compile_kernel, find_cell


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
def nearest_voxels(
    depth, K, T_world_camera, slots, blocks, rows, voxel_size_m, grid_origin, radius_m
):
    """Nearest voxel centre within the radius for every valid pixel.

    Args:
        depth: float32 (H, W), metres along z; 0, NaN or infinite where invalid.
        K: float64 (3, 3), pixels.
        T_world_camera: float64 (4, 4).
        slots, blocks, rows: block table of the voxels with an overhang of `voxels_across` - 1.
        voxel_size_m, grid_origin: the grid, metres.
        radius_m: largest distance, inclusive, metres.

    Returns:
        pixel, voxel int32 (N,) and distance float32 (N,), metres; pixels ascending.
    """
    pixel = np.empty(depth.size, np.int32)
    voxel = np.empty(depth.size, np.int32)
    distance = np.empty(depth.size, np.float32)
    n = 0
    reach = radius_m / voxel_size_m
    beyond = np.nextafter(reach * reach, np.inf)
    across = voxels_across(radius_m, voxel_size_m)
    edge = BLOCK + across - 1
    rays_x = (np.arange(depth.shape[1]) - K[0, 2]) / K[0, 0]
    rays_y = (np.arange(depth.shape[0]) - K[1, 2]) / K[1, 1]
    # To units of voxels, with centres at whole numbers.
    T_grid_camera = T_world_camera[:3] / voxel_size_m
    T_grid_camera[:, 3] -= grid_origin / voxel_size_m + 0.5
    block_x, block_y, block_z = np.int64(0), np.int64(0), np.int64(0)
    block = find_cell(slots, blocks, block_x, block_y, block_z)
    for v in range(depth.shape[0]):
        for u in range(depth.shape[1]):
            z = np.float64(depth[v, u])
            if not _is_measured(z):
                continue
            x, y, z = _place(T_grid_camera, rays_x[u] * z, rays_y[v] * z, z)
            # The lowest of the voxels that can be near enough, and the block that holds them all.
            i, j, k = (
                np.int64(np.ceil(x - reach)),
                np.int64(np.ceil(y - reach)),
                np.int64(np.ceil(z - reach)),
            )
            if block_of(i) != block_x or block_of(j) != block_y or block_of(k) != block_z:
                block_x, block_y, block_z = block_of(i), block_of(j), block_of(k)
                block = find_cell(slots, blocks, block_x, block_y, block_z)
            if block < 0:
                continue
            i_in, j_in, k_in = i - BLOCK * block_x, j - BLOCK * block_y, k - BLOCK * block_z
            limit, best = beyond, np.int32(-1)
            for a in range(across):
                x_square = (x - (i + a)) ** 2
                if x_square >= limit:
                    continue
                for b in range(across):
                    xy_square = x_square + (y - (j + b)) ** 2
                    if xy_square >= limit:
                        continue
                    place = ((i_in + a) * edge + j_in + b) * edge + k_in
                    for c in range(across):
                        square = xy_square + (z - (k + c)) ** 2
                        row = rows[block, place + c]
                        if row >= 0 and square < limit:
                            best, limit = row, square
            if best >= 0:
                pixel[n], voxel[n] = v * depth.shape[1] + u, best
                distance[n] = np.sqrt(limit) * voxel_size_m
                n += 1
    return pixel[:n].copy(), voxel[:n].copy(), distance[:n].copy()


@compile_kernel
def voxels_across(radius_m, voxel_size_m):
    """Voxel centres that can lie within the radius of a point, along one axis."""
    return np.int64(np.floor(2 * radius_m / voxel_size_m)) + 1


@compile_kernel
def visible_points(depth, K, T_camera_point, points, tolerance_m, at_most):
    """Points whose depth agrees with the pixel that they fall on.

    Args:
        depth: float32 (H, W), metres.
        K: float64 (3, 3), pixels.
        T_camera_point: float64 (4, 4), frame of the points -> camera.
        points: float64 (N, 3), metres; rows with NaN are left out.
        tolerance_m: largest difference along z, exclusive, metres.
        at_most: ends after so many.

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
            if n == at_most:
                break
    return pixel[:n].copy(), point[:n].copy(), difference[:n].copy()


@compile_kernel
def camera_points(depth, K, pixel):
    """Camera points float64 (N, 3), metres, of flat pixels; NaN where there is no depth."""
    points = np.full((len(pixel), 3), np.nan)
    for p in range(len(pixel)):
        v, u = divmod(pixel[p], depth.shape[1])
        z = np.float64(depth[v, u])
        if _is_measured(z):
            points[p, 0], points[p, 1], points[p, 2] = _back_project(K, u, v, z)
    return points


@compile_kernel
def first_occurrences(values, limit):
    """Distinct values of an int32 array with values in [0, limit), in the order they come."""
    seen = np.zeros(limit, np.bool_)
    result = np.empty(len(values), np.int32)
    n = 0
    for value in values:
        if not seen[value]:
            seen[value] = True
            result[n] = value
            n += 1
    return result[:n].copy()


#: Edge of the tiles, in pixels, whose depth range is kept to pass over occluded points.
_TILE = 8


@compile_kernel
def _depth_ranges(depth):
    """Least and largest depth of each tile of an image; inf, -inf without any."""
    height, width = depth.shape
    tiles = ((height + _TILE - 1) // _TILE, (width + _TILE - 1) // _TILE)
    low, high = np.full(tiles, np.float32(np.inf)), np.full(tiles, np.float32(-np.inf))
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if _is_measured(z):
                low[v // _TILE, u // _TILE] = min(low[v // _TILE, u // _TILE], z)
                high[v // _TILE, u // _TILE] = max(high[v // _TILE, u // _TILE], z)
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
def nearest_pixels(points_a, T_b_a, depth_b, K_b, radius_m, at_most):
    """For every point of a the pixel of b whose point is nearest in 3D, within the radius.

    Pixels are searched in square rings around the projection. A ring's pixels lie on rays that
    pass the point at a distance that grows with the ring: the search ends when that exceeds the
    best distance so far, so the result is that of trying all pixels.

    Args:
        points_a: float64 (N, 3), metres, camera a; rows with NaN are left out.
        T_b_a: float64 (4, 4), camera a -> camera b.
        depth_b: float32 (H, W), metres along z; 0, NaN or infinite where invalid.
        K_b: float64 (3, 3), pixels.
        radius_m: largest distance, metres.
        at_most: ends after so many.

    Returns:
        point_a: int32 (M,), rows of `points_a`.
        pixel_b: int32 (M,), flat indices.
    """
    height, width = depth_b.shape
    fx, fy, cx, cy = K_b[0, 0], K_b[1, 1], K_b[0, 2], K_b[1, 2]
    tile_low, tile_high = _depth_ranges(depth_b)
    point_a = np.empty(len(points_a), np.int32)
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
                    z_b = np.float64(depth_b[j, i])
                    dz = z_b - z
                    if not (_is_measured(z_b) and dz * dz <= limit):
                        continue
                    x_b, y_b, _ = _back_project(K_b, i, j, z_b)
                    square = (x_b - x) ** 2 + (y_b - y) ** 2 + dz * dz
                    if square < limit or (square == limit and best < 0):
                        best, limit = j * width + i, square
            ring += 1
        if best >= 0:
            point_a[n], pixel_b[n] = p, best
            n += 1
            if n == at_most:
                break
    return point_a[:n].copy(), pixel_b[:n].copy()


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
