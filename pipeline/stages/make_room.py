"""`make-room`: write one embedded room, or the split lists, in ScanNet's raw format."""

import argparse

from pipeline.config import Params, load_params
from pipeline.scenes.naming import training_rooms, validation_rooms
from pipeline.stages.common import StageError, expand


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("scene", nargs="?", help="name of the room, e.g. scene0000_00")
    parser.add_argument("--splits", action="store_true", help="write the split lists instead")


def make_room(params: Params, scene: str) -> None:
    """Make, record and write one room below `dataset.raw_dir`.

    Args:
        params: `rooms` must be set.
        scene: One of the names that `rooms.n_train` and `rooms.n_validation` give.

    Raises:
        StageError: params have no rooms, or none of this name.
    """
    from pipeline.scenes.recording import record_room
    from pipeline.scenes.writers import write_recording

    train, validation = room_names(params)
    names = [*train, *validation]
    if scene not in names:
        raise StageError(f"no embedded room {scene!r}; params.rooms makes {names[0]}..{names[-1]}")
    assert params.rooms is not None
    recording = record_room(params.rooms, names.index(scene))
    stride = params.rooms.labelled_stride
    write_recording(expand(params.dataset.raw_dir), scene, recording, stride)


def room_names(params: Params) -> tuple[list[str], list[str]]:
    """Training and validation rooms.

    Raises:
        StageError: params have no rooms.
    """
    if params.rooms is None:
        raise StageError("params.rooms is null: this dataset has no embedded rooms to make")
    train = training_rooms(params.rooms.n_train)
    return train, validation_rooms(params.rooms.n_train, params.rooms.n_validation)


def run(args: argparse.Namespace) -> None:
    """Write the room or the splits."""
    params = load_params()
    if args.splits == (args.scene is not None):
        raise StageError("make-room: give the name of a room, or --splits")
    if args.scene is not None:
        make_room(params, args.scene)
        return
    from pipeline.scenes.writers import write_splits

    write_splits(expand(params.dataset.raw_dir), *room_names(params))
