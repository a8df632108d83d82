"""Builders of everything that stands, lies or hangs in a room."""

from pipeline.scenes.furniture import bath, fixtures, seats, storage, tables, things
from pipeline.scenes.furniture.item import Builder, Group, Item, Part, Top

#: Name in a room's recipe -> builder. Adding a kind of furniture is a function and a line here.
FURNITURE: dict[str, Builder] = {
    "armchair": seats.armchair,
    "ball": things.ball,
    "bathtub": bath.bathtub,
    "bed": seats.bed,
    "books": things.books,
    "bookshelf": storage.bookshelf,
    "bowl": things.bowl,
    "cabinet": storage.cabinet,
    "carton": things.carton,
    "ceiling_lamp": things.ceiling_lamp,
    "chair": seats.chair,
    "coffee_table": tables.coffee_table,
    "couch": seats.couch,
    "counter": storage.counter,
    "cup": things.cup,
    "desk": tables.desk,
    "floor_lamp": things.floor_lamp,
    "low_cabinet": storage.low_cabinet,
    "monitor": things.monitor,
    "nightstand": storage.nightstand,
    "office_chair": seats.office_chair,
    "ottoman": seats.ottoman,
    "picture": fixtures.picture,
    "pillow": things.pillow,
    "plant": things.plant,
    "poster": fixtures.poster,
    "radiator": bath.radiator,
    "refrigerator": storage.refrigerator,
    "sink": bath.sink,
    "table": tables.table,
    "table_lamp": things.table_lamp,
    "toilet": bath.toilet,
    "trash_can": storage.trash_can,
    "tv": things.tv,
    "vase": things.vase,
    "wall_cabinet": storage.wall_cabinet,
    "wardrobe": storage.wardrobe,
    "whiteboard": fixtures.whiteboard,
}

__all__ = ["FURNITURE", "Builder", "Group", "Item", "Part", "Top"]
