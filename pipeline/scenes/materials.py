"""Which material an object gets, and how far its colour tells what it is."""

from colorsys import hsv_to_rgb
from dataclasses import dataclass

import numpy as np

from pipeline.scenes.textures import TEXTURES

#: Hue, saturation and value ranges of colour families.
PALETTES = {
    "wood": ((0.05, 0.11), (0.35, 0.70), (0.30, 0.75)),
    "white": ((0.05, 0.60), (0.00, 0.06), (0.82, 0.95)),
    "grey": ((0.00, 1.00), (0.00, 0.10), (0.30, 0.70)),
    "dark": ((0.00, 1.00), (0.05, 0.40), (0.08, 0.25)),
    "beige": ((0.07, 0.13), (0.12, 0.35), (0.65, 0.90)),
    "red": ((0.96, 1.03), (0.55, 0.85), (0.40, 0.80)),
    "yellow": ((0.10, 0.16), (0.50, 0.85), (0.70, 0.92)),
    "green": ((0.24, 0.42), (0.30, 0.70), (0.30, 0.70)),
    "teal": ((0.44, 0.53), (0.35, 0.75), (0.35, 0.75)),
    "blue": ((0.55, 0.66), (0.35, 0.80), (0.35, 0.80)),
    "violet": ((0.72, 0.90), (0.25, 0.60), (0.40, 0.80)),
    "pastel": ((0.00, 1.00), (0.15, 0.30), (0.75, 0.92)),
}

#: Texture that says "this one": (palettes, textures, size of the pattern in metres).
Style = tuple[tuple[str, ...], tuple[str, ...], tuple[float, float]]

_WOODEN: Style = (("wood",), ("wood",), (0.10, 0.25))
_CERAMIC: Style = (("white",), ("plain",), (0.5, 0.5))
_CLOTH: Style = (("blue", "grey", "beige", "red"), ("fabric", "checks", "stripes"), (0.06, 0.25))

#: What a category typically looks like.
TYPICAL: dict[str, Style] = {
    "wall": (("beige", "pastel", "white"), ("plain", "stripes", "damask", "dots"), (0.15, 0.50)),
    "floor": (("wood", "grey", "beige"), ("planks", "carpet", "tiles", "checks"), (0.15, 0.45)),
    "tiled wall": (("white", "pastel", "teal"), ("tiles",), (0.12, 0.30)),
    "tiled floor": (("grey", "beige", "dark"), ("tiles", "checks"), (0.20, 0.45)),
    "rug": (("red", "blue", "beige", "green"), ("carpet", "stripes", "checks"), (0.15, 0.40)),
    "ceiling": (("white",), ("plain",), (0.5, 1.0)),
    "door": (("white", "wood"), ("plain", "wood"), (0.10, 0.25)),
    "cabinet": _WOODEN,
    "wardrobe": (("wood", "white"), ("wood", "plain"), (0.10, 0.25)),
    "kitchen cabinet": (("white", "wood", "teal"), ("plain", "wood"), (0.10, 0.25)),
    "nightstand": _WOODEN,
    "bookshelf": _WOODEN,
    "table": _WOODEN,
    "coffee table": _WOODEN,
    "desk": (("wood", "white"), ("wood", "plain"), (0.10, 0.25)),
    "counter": (("grey", "dark"), ("stone",), (0.05, 0.12)),
    "chair": (("wood", "dark"), ("wood", "plain"), (0.08, 0.20)),
    "office chair": (("dark", "blue"), ("fabric",), (0.02, 0.05)),
    "bed": (("blue", "white", "pastel"), ("checks", "stripes", "dots", "fabric"), (0.10, 0.30)),
    "couch": (("grey", "beige", "red"), ("fabric", "checks"), (0.05, 0.15)),
    "armchair": (("grey", "green", "red"), ("fabric", "checks"), (0.05, 0.15)),
    "curtain": (("pastel", "beige", "red"), ("stripes", "dots", "damask"), (0.10, 0.30)),
    "shower curtain": (("white", "teal", "pastel"), ("dots", "stripes", "checks"), (0.08, 0.20)),
    "refrigerator": (("white", "grey"), ("plain",), (0.5, 0.5)),
    "toilet": _CERAMIC,
    "sink": _CERAMIC,
    "bathtub": _CERAMIC,
    "radiator": _CERAMIC,
    "pillow": _CLOTH,
    "ottoman": _CLOTH,
}

#: Textures and palettes that anything may have.
_ANY: Style = (
    tuple(PALETTES),
    ("plain", "wood", "fabric", "stripes", "checks", "dots", "stone", "damask"),
    (0.06, 0.35),
)


@dataclass(frozen=True)
class Material:
    """Appearance of one part.

    Attributes:
        texture: key of `textures.TEXTURES`.
        colours: three sRGB colours in 0..1; most textures use the first most.
        size_m: size of the pattern, metres.
        seed: varies the pattern between materials.
        emission: 0: lit by the lamps, 1: shines by itself.
        is_glass: whether the depth camera mostly fails on it.
    """

    texture: str
    colours: tuple[tuple[float, float, float], ...]
    size_m: float = 0.2
    seed: int = 0
    emission: float = 0.0
    is_glass: bool = False

    def __post_init__(self) -> None:
        if self.texture not in TEXTURES:
            raise KeyError(f"no texture {self.texture!r}; known: {', '.join(TEXTURES)}")


class Paint:
    """Draws materials; one per room, so that a room's objects can share textures.

    Args:
        rng: Source of all draws.
        informativeness: Probability that an object looks typical of its category. Otherwise it
            takes one of the room's few shared materials or an arbitrary one.
    """

    def __init__(self, rng: np.random.Generator, informativeness: float) -> None:
        self.rng = rng
        self.informativeness = informativeness
        self._shared = [self.draw(_ANY) for _ in range(4)]

    def __call__(self, category: str) -> Material:
        """The main material of an object of this category."""
        typical = self.rng.random() < self.informativeness
        if typical and category in TYPICAL:
            return self.draw(TYPICAL[category])
        if self.rng.random() < 0.5:
            return self._shared[self.rng.integers(len(self._shared))]
        return self.draw(_ANY)

    def draw(self, style: Style) -> Material:
        """A new material of a style."""
        palettes, textures, (low, high) = style
        palette = palettes[self.rng.integers(len(palettes))]
        first = self.colour(palette)
        # The second colour is a lighter or darker neighbour or any other, the third an accent.
        shift = self.rng.choice([-0.25, 0.25])
        r, g, b = (float(np.clip(c + shift, 0.05, 0.95)) for c in first)
        second = (r, g, b) if self.rng.random() < 0.6 else self.colour()
        return Material(
            texture=textures[self.rng.integers(len(textures))],
            colours=(first, second, self.colour()),
            size_m=float(self.rng.uniform(low, high)),
            seed=int(self.rng.integers(1 << 16)),
        )

    def colour(self, palette: str | None = None) -> tuple[float, float, float]:
        """A colour of a palette, by default of any."""
        if palette is None:
            palette = list(PALETTES)[self.rng.integers(len(PALETTES))]
        hue, saturation, value = (self.rng.uniform(low, high) for low, high in PALETTES[palette])
        return hsv_to_rgb(hue % 1, saturation, value)

    def plain(self, palette: str | None = None, emission: float = 0.0) -> Material:
        """A single colour of a palette."""
        colour = self.colour(palette)
        return Material("plain", (colour,) * 3, seed=self.seed(), emission=emission)

    def art(
        self, texture: str, size_m: float, emission: float = 0.0, glass: bool = False
    ) -> Material:
        """A picture in three colours; `size_m` is its extent."""
        colours = (self.colour(), self.colour(), self.colour())
        return Material(texture, colours, size_m, self.seed(), emission, glass)

    def metal(self) -> Material:
        """Steel or black metal for legs, poles and handles."""
        return self.plain("grey" if self.rng.random() < 0.6 else "dark")

    def seed(self) -> int:
        """A seed for a pattern."""
        return int(self.rng.integers(1 << 16))
