"""What stands in the embedded rooms: ScanNet's raw categories and their NYU40 ids."""

#: Raw category (label in aggregation.json) -> NYU40 id, as in scannetv2-labels.combined.tsv.
NYU40_IDS = {
    "wall": 1,
    "floor": 2,
    "cabinet": 3,
    "kitchen cabinet": 3,
    "wardrobe": 3,
    "bed": 4,
    "chair": 5,
    "office chair": 5,
    "armchair": 5,
    "couch": 6,
    "table": 7,
    "coffee table": 7,
    "door": 8,
    "window": 9,
    "bookshelf": 10,
    "picture": 11,
    "poster": 11,
    "counter": 12,
    "desk": 14,
    "curtain": 16,
    "pillow": 18,
    "rug": 20,
    "ceiling": 22,
    "books": 23,
    "refrigerator": 24,
    "tv": 25,
    "shower curtain": 28,
    "box": 29,
    "whiteboard": 30,
    "nightstand": 32,
    "toilet": 33,
    "sink": 34,
    "lamp": 35,
    "bathtub": 36,
    "trash can": 39,
    "radiator": 39,
    "ottoman": 39,
    "ball": 40,
    "vase": 40,
    "bowl": 40,
    "cup": 40,
    "monitor": 40,
    "plant": 40,
}

#: NYU40 id -> class name, for the ids above.
NYU40_NAMES = {
    1: "wall",
    2: "floor",
    3: "cabinet",
    4: "bed",
    5: "chair",
    6: "sofa",
    7: "table",
    8: "door",
    9: "window",
    10: "bookshelf",
    11: "picture",
    12: "counter",
    14: "desk",
    16: "curtain",
    18: "pillow",
    20: "floor mat",
    22: "ceiling",
    23: "books",
    24: "refridgerator",
    25: "television",
    28: "shower curtain",
    29: "box",
    30: "whiteboard",
    32: "night stand",
    33: "toilet",
    34: "sink",
    35: "lamp",
    36: "bathtub",
    39: "otherfurniture",
    40: "otherprop",
}


def label_table() -> str:
    """Text of a `scannetv2-labels.combined.tsv` with the categories above.

    Returns:
        Tab-separated lines with the columns of the real file that readers use; `id` numbers the
        categories of this file only.
    """
    lines = ["id\traw_category\tcategory\tnyu40id\tnyu40class"]
    for number, (name, nyu40) in enumerate(NYU40_IDS.items(), start=1):
        lines.append(f"{number}\t{name}\t{name}\t{nyu40}\t{NYU40_NAMES[nyu40]}")
    return "\n".join(lines) + "\n"


#: Colours of the NYU40 ids 0..40 in ScanNet's `_vh_clean_2.labels.ply`.
# fmt: off
NYU40_COLOURS = (
    (0, 0, 0), (174, 199, 232), (152, 223, 138), (31, 119, 180), (255, 187, 120), (188, 189, 34),
    (140, 86, 75), (255, 152, 150), (214, 39, 40), (197, 176, 213), (148, 103, 189),
    (196, 156, 148), (23, 190, 207), (178, 76, 76), (247, 182, 210), (66, 188, 102),
    (219, 219, 141), (140, 57, 197), (202, 185, 52), (51, 176, 203), (200, 54, 131),
    (92, 193, 61), (78, 71, 183), (172, 114, 82), (255, 127, 14), (91, 163, 138), (153, 98, 156),
    (140, 153, 101), (158, 218, 229), (100, 125, 154), (178, 127, 135), (120, 185, 128),
    (146, 111, 194), (44, 160, 44), (112, 128, 144), (96, 207, 209), (227, 119, 194),
    (213, 92, 176), (94, 106, 211), (82, 84, 163), (100, 85, 144),
)
# fmt: on
