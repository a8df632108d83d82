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
