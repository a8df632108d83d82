"""Raw datasets as scenes and frames. A new dataset is a module and a line in `_LAYOUTS`."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.readers import folder_layouts, scannet
from pipeline.readers.base import Reader, ReaderError

#: Readers whose `list_scenes` finds nothing in a folder of another layout, without an error.
_LAYOUTS = {
    "scannet": scannet.READER,
    "scannet_exported": folder_layouts.SCANNET_EXPORTED.reader(),
    "scannet_frames_25k": folder_layouts.SCANNET_FRAMES_25K.reader(),
    "seven_scenes": folder_layouts.SEVEN_SCENES.reader(),
    "posed_folder": folder_layouts.POSED_FOLDER.reader(),
}
#: Entries of a wrong folder that its error message shows.
_SHOWN_ENTRIES = 8


def _list_scenes(name: str, raw_dir: Path) -> list[str]:
    """Scenes of a raw folder, or an error that says what is there instead."""
    problem = ""
    try:
        scenes = _LAYOUTS[name].list_scenes(raw_dir)
    except ReaderError as error:
        scenes, problem = [], f": {error}"
    if scenes:
        return scenes
    raise ReaderError(
        f"{raw_dir}: no scenes for reader {name}{problem}. {_what_is_there(raw_dir)}\n"
        f"expected:\n{_LAYOUTS[name].layout}"
    )


def _fitting(raw_dir: Path) -> Iterator[tuple[str, list[str]]]:
    """Readers that find scenes in a folder, and these scenes."""
    for name, layout in _LAYOUTS.items():
        with suppress(ReaderError):
            if scenes := layout.list_scenes(raw_dir):
                yield name, scenes


def _what_is_there(raw_dir: Path) -> str:
    """What a folder without the wanted scenes holds, and which reader or folder would fit."""
    if not raw_dir.is_dir():
        return "It is a file." if raw_dir.exists() else "The folder does not exist."
    for name, scenes in _fitting(raw_dir):
        return (
            f"It fits reader {name} ({len(scenes)} scenes, first: {scenes[0]}): "
            "use that reader, or give the folder that is laid out as below."
        )
    folder = raw_dir.resolve()
    for name, scenes in _fitting(folder.parent):
        if folder.name in scenes:
            return f"It is a single scene of reader {name}: give its parent folder."
    entries = sorted(path.name + "/" * path.is_dir() for path in raw_dir.iterdir())
    shown = ", ".join(entries[:_SHOWN_ENTRIES]) + (", ..." if len(entries) > _SHOWN_ENTRIES else "")
    return f"Found: {shown or 'nothing, it is empty'}."


#: Name in params.yaml -> reader.
READERS: dict[str, Reader] = {
    name: replace(layout, list_scenes=partial(_list_scenes, name))
    for name, layout in _LAYOUTS.items()
}
