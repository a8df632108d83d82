"""Procedural textures: colour as a function of the place on an object, vectorised over pixels.

Every texture is `f(place, uv, colours, size, seed) -> colour`, and one line of `TEXTURES`.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float32, Int64

from pipeline.scenes.shading_kernels import interpolate_periodic

Place = Float32[np.ndarray, "n 3"]
Plane = Float32[np.ndarray, "n 2"]
Colours = Float32[np.ndarray, "n 3 3"]
Scalar = Float32[np.ndarray, " n"]
Seed = Int64[np.ndarray, " n"]
Colour = Float32[np.ndarray, "n 3"]
Texture = Callable[[Place, Plane, Colours, Scalar, Seed], Colour]

#: Colours of every landscape beside the material's own.
_HAZE, _SKY_BLUE, _GRASS = np.array(
    [[0.92, 0.93, 0.95], [0.45, 0.66, 0.92], [0.05, 0.14, 0.04]], np.float32
)
#: Cells along one side of the periodic noise table.
_NOISE_CELLS = 64


@cache
def _noise_table() -> Float32[np.ndarray, "c c c"]:
    """Periodic noise of several octaves, mean 0, standard deviation 1."""
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(_NOISE_CELLS) * 2 * np.pi
    squared = (np.stack(np.meshgrid(*[frequency] * 3, indexing="ij")) ** 2).sum(0)
    table = np.zeros((_NOISE_CELLS,) * 3)
    for sigma in (0.7, 1.5, 3.0, 6.0):
        white = np.fft.fftn(rng.standard_normal(table.shape))
        octave = np.fft.ifftn(white * np.exp(-squared * sigma**2 / 2)).real
        table += octave / octave.std() * np.sqrt(sigma)
    return ((table - table.mean()) / table.std()).astype(np.float32)


def noise(place: Place) -> Scalar:
    """Smooth noise with features of about one to ten units, mean 0, standard deviation 1."""
    return interpolate_periodic(_noise_table(), np.ascontiguousarray(place))


def cell_hash(cell: Float32[np.ndarray, "n d"], seed: Seed) -> Scalar:
    """Number in 0..1 that is random per integer cell and seed."""
    value = (seed.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for column in cell.T:
        # Through int64, so that negative cells wrap instead of being undefined.
        value = (value ^ column.astype(np.int64).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
    return ((value >> np.uint64(40)) / np.float32(1 << 24)).astype(np.float32)


def mix(first: Colour, second: Colour, share: Scalar) -> Colour:
    """First where `share` is 0, second where it is 1."""
    return first + (second - first) * share[:, None]


def _shifted(place: Place, size: Scalar, seed: Seed) -> Place:
    return place / size[:, None] + (seed % 997).astype(np.float32)[:, None] * np.float32(0.37)


def _step(value: Scalar, edge: float | Scalar = 0.0, softness: float = 0.04) -> Scalar:
    """0 below the edge, 1 above, with a soft passage that spares the eye aliasing."""
    return np.clip((value - edge) / np.float32(softness) + np.float32(0.5), 0, 1)


def plain(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """One colour with faint blotches."""
    return (
        colours[:, 0]
        * (1 + np.float32(0.03) * noise(_shifted(place, size * 0 + 0.1, seed)))[:, None]
    )


def stripes(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Stripes of two colours with a thin third one between them; upright or lying."""
    across = np.where(seed % 4 == 0, uv[:, 1], uv[:, 0]) / size
    phase = across - np.floor(across)
    colour = mix(colours[:, 0], colours[:, 1], _step(phase, 0.55))
    return mix(colour, colours[:, 2], _step(-np.abs(phase - np.float32(0.8)), -0.06))


def checks(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Chequers, or tartan for odd seeds."""
    wave = np.sin(uv * (2 * np.pi / size)[:, None])
    chequer = _step(wave[:, 0] * wave[:, 1], 0.0, 0.1)
    tartan = (_step(wave[:, 0], 0.3, 0.1) + _step(wave[:, 1], 0.3, 0.1)) / 2
    return mix(colours[:, 0], colours[:, 1], np.where(seed % 2 == 0, chequer, tartan))


def dots(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Dots in a staggered grid, each of one of two colours."""
    grid = uv / size[:, None]
    grid[:, 0] += np.float32(0.5) * (np.floor(grid[:, 1]) % 2)
    cell = np.floor(grid)
    radius = np.hypot(*(grid - cell - np.float32(0.5)).T)
    dot = np.where((cell_hash(cell, seed) < 0.5)[:, None], colours[:, 1], colours[:, 2])
    return mix(colours[:, 0], dot, _step(-radius, -0.28, 0.06))


def damask(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Wallpaper ornament from interfering waves."""
    angle = uv * (2 * np.pi / size)[:, None]
    petals = np.sin(angle[:, 0]) * np.cos(angle[:, 1]) + np.float32(0.6) * np.cos(
        2 * angle[:, 0] + (seed % 3).astype(np.float32)
    ) * np.sin(3 * angle[:, 1])
    return mix(colours[:, 0], colours[:, 1], _step(petals, 0.35, 0.2) * np.float32(0.8))


def wood(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Grain stretched along one direction of the surface, with year rings."""
    fine = uv / (size * np.float32(0.2))[:, None]
    fine[np.arange(len(uv)), seed % 2] *= np.float32(0.06)
    grain = np.stack([fine[:, 0], fine[:, 1], (seed % 97).astype(np.float32)], 1)
    rings = np.sin(noise(grain) * np.float32(4)) * np.float32(0.5) + np.float32(0.5)
    return mix(colours[:, 0], colours[:, 0] * np.float32(0.62), rings * np.float32(0.8))


def planks(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Floor boards with grain, joints and a shade of their own."""
    across, along = uv[:, 1] / (size * np.float32(0.6)), uv[:, 0] / (size * 5)
    row = np.floor(across)
    along = along + cell_hash(row[:, None], seed)
    board = np.stack([row, np.floor(along)], 1)
    shade = np.float32(0.75) + np.float32(0.4) * cell_hash(board, seed + 1)
    joint = np.minimum(np.abs(across - np.rint(across)), np.abs(along - np.rint(along)) * 8)
    colour = wood(place, uv, colours, size, seed - seed % 2)
    return colour * (shade * (np.float32(0.45) + np.float32(0.55) * _step(joint, 0.04)))[:, None]


def tiles(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Tiles with grout; some are of the second colour."""
    grid = uv / size[:, None]
    cell = np.floor(grid)
    edge = np.maximum(*np.abs(grid - cell - np.float32(0.5)).T)
    chance = cell_hash(cell, seed)
    tile = np.where((chance < 0.2)[:, None], colours[:, 1], colours[:, 0])
    tile = tile * (np.float32(0.92) + np.float32(0.12) * chance)[:, None]
    return mix(tile, tile * np.float32(0.5) + np.float32(0.3), _step(edge, 0.475))


def fabric(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Mottled cloth."""
    value = noise(_shifted(place, size * np.float32(0.12), seed))
    return mix(colours[:, 0], colours[:, 1], np.clip(value * np.float32(0.22) + 0.3, 0, 1))


def carpet(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Carpet with a coarse ornament under a fine pile."""
    ornament = damask(place, uv, colours, size * 3, seed)
    pile = noise(_shifted(place, size * np.float32(0.04), seed))
    return ornament * (1 + np.float32(0.10) * pile)[:, None]


def stone(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Marble or granite."""
    value = noise(_shifted(place, size * np.float32(0.3), seed))
    veins = np.abs(np.sin(value * 2 + place[:, 0] * 9))
    return mix(colours[:, 1], colours[:, 0], np.sqrt(veins))


def abstract(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Modern art: blots, rings or rectangles."""
    grid = uv / size[:, None]
    flat = np.concatenate([grid * 9, np.zeros_like(grid[:, :1])], 1)
    blots = noise(_shifted(flat, np.ones_like(size), seed))
    rings = np.sin(np.hypot(*(grid - np.float32(0.1)).T) * 25)
    blocks = cell_hash(np.floor(grid * 5 + np.float32(0.3)), seed) * 3 - np.float32(1.5)
    value = np.choose(seed % 3, [blots, rings, blocks]).astype(np.float32)
    colour = mix(colours[:, 0], colours[:, 1], _step(value, 0.1))
    return mix(colour, colours[:, 2], _step(value, 0.8))


def landscape(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Sky, hills and a field: a painting, or what stands outside a window."""
    x, y = uv[:, 0] / size, uv[:, 1] / size
    line = np.stack([x * 4 + (seed % 61), np.zeros_like(x), np.zeros_like(x)], 1).astype(np.float32)
    skyline = np.float32(0.16) * noise(line)
    sky = mix(
        np.broadcast_to(_HAZE, (len(x), 3)),
        np.broadcast_to(_SKY_BLUE, (len(x), 3)),
        np.clip(y * np.float32(1.6) + np.float32(0.2), 0, 1),
    )
    hills = mix(colours[:, 0] * np.float32(0.3), colours[:, 1] * np.float32(0.6), np.clip(-y, 0, 1))
    hills = hills + _GRASS
    return mix(hills, sky, _step(y, skyline - np.float32(0.05), 0.03))


def spines(place: Place, uv: Plane, colours: Colours, size: Scalar, seed: Seed) -> Colour:
    """Title and bands on the back of a book."""
    band = np.abs(np.sin(uv[:, 1] * 40 + (seed % 7).astype(np.float32)))
    return mix(colours[:, 0], colours[:, 1], _step(band, 0.85, 0.1))


TEXTURES: dict[str, Texture] = {
    "plain": plain,
    "stripes": stripes,
    "checks": checks,
    "dots": dots,
    "damask": damask,
    "wood": wood,
    "planks": planks,
    "tiles": tiles,
    "fabric": fabric,
    "carpet": carpet,
    "stone": stone,
    "abstract": abstract,
    "landscape": landscape,
    "spines": spines,
}


def face_plane(place: Place, normal: Place) -> Plane:
    """Coordinates on the surface: the two that the normal points along least (box mapping).

    Args:
        place: float32 (N, 3), metres, object frame.
        normal: float32 (N, 3), object frame.

    Returns:
        float32 (N, 2), metres: first the horizontal, then the upward coordinate.
    """
    strength = np.abs(normal)
    lies = strength[:, 2] >= np.maximum(strength[:, 0], strength[:, 1])
    u = np.where(lies | (strength[:, 1] >= strength[:, 0]), place[:, 0], place[:, 1])
    return np.stack([u, np.where(lies, place[:, 1], place[:, 2])], 1)
