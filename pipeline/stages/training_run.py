"""What the stages pretrain and finetune share: arguments, device, identity of a run."""

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml

from pipeline import layout
from pipeline.atomic import exclusive, write_json
from pipeline.config import Params, load_params, params_path
from pipeline.stages.common import StageError
from pipeline.stages.write_fingerprints import edited_modules, fingerprint, read_fingerprint
from pipeline.training.distributed import is_one_of_many, local_device

#: Stage of dvc.yaml -> the command that it runs, a module of pipeline.stages.
COMMANDS = {
    "pretrain": "pretrain",
    "continue_pretraining": "pretrain",
    "finetune": "finetune",
    "finetune_segmentation": "finetune",
    "finetune_fraction": "finetune",
    "finetune_network": "finetune",
}


@dataclass(frozen=True)
class Item:
    """One item of a stage's matrix in dvc.yaml: a training with a result of its own.

    Attributes:
        stage: key of `COMMANDS`.
        dataset: `params.dataset.name`.
        keys: matrix key -> value, without dataset and seed: {"variant": "view"}.
        seed: of the training.
    """

    stage: str
    dataset: str
    keys: Mapping[str, str]
    seed: int

    @property
    def label(self) -> str:
        """The keys' values as they stand in names: `view`, `view_geo-20`."""
        return "-".join(self.keys.values())

    @property
    def name(self) -> str:
        """DVC's name: `pretrain@rooms-view-0`."""
        return layout.stage_name(self.stage, self.dataset, self.label, self.seed)

    @property
    def scratch(self) -> Path:
        """Folder of its unfinished run."""
        return layout.checkpoint_dir(self.stage, self.dataset, self.label, self.seed)

    @property
    def live(self) -> Path:
        """Folder of its metrics while it runs."""
        return layout.live_metrics(self.name)


def _starter() -> psutil.Process | None:
    """What has started this process; DVC does so through a shell, which may stay in between."""
    found = psutil.Process().parent()
    while found and found.name().endswith("sh"):
        found = found.parent()
    return found


_STARTER = _starter()


def _is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _is_first() -> bool:
    """Of the processes that torchrun has started, one speaks for all."""
    return not is_one_of_many() or os.environ["RANK"] == "0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command line."""
    parser.add_argument("--variant", required=True, help="key of `variants` in params.yaml")
    parser.add_argument("--seed", type=int, required=True, help="one of `seeds` in params.yaml")
    parser.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="auto: CUDA if there is one",
    )
    parser.add_argument("--threads", type=int, help="torch threads (default: OMP_NUM_THREADS)")


def start(args: argparse.Namespace) -> tuple[Params, torch.device]:
    """Read the params and set up torch.

    Raises:
        StageError: unknown variant, or no such device.
    """
    params = load_params()
    known = dict.fromkeys([*params.variants, *params.second_stage.rows(), *params.all_rows])
    if args.variant not in known:
        raise StageError(f"{params_path()}: no variant {args.variant!r}; known: {', '.join(known)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise StageError("--device cuda: this torch finds no CUDA device; use --device auto or cpu")
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    cuda = args.device != "cpu" and torch.cuda.is_available()
    return params, local_device(torch.device("cuda" if cuda else "cpu"))


def used_params(params: Params, item: Item) -> dict[str, Any]:
    """Values of the keys that an item depends on: those that dvc.yaml lists for its stage."""
    listed = yaml.safe_load(Path("dvc.yaml").read_text())["stages"][item.stage]["params"]
    for key, value in item.keys.items():
        listed = [each.replace(f"${{item.{key}}}", value) for each in listed]
    return params.values(*listed)


def checkpoint_folder(item: Item, used: dict[str, Any], inputs: Iterable[Path]) -> Path:
    """Where a run keeps its checkpoints: what decides its result names the folder.

    The code does not: it is noted in the folder, so that an edit in the middle of a long training
    costs nothing before somebody has decided what it means.

    Args:
        item: What is trained.
        used: From `used_params`.
        inputs: Files whose content the run depends on; those that do not exist count as empty.

    Raises:
        StageError: the code was edited since the checkpoints in it were made.
    """
    digest = hashlib.sha256(json.dumps([used, item.seed], sort_keys=True).encode())
    for path in inputs:
        digest.update(path.read_bytes() if path.is_file() else b"")
    folder = item.scratch / digest.hexdigest()[:12]
    if not _is_first():
        return folder
    noted, now = folder / layout.CODE_OF_CHECKPOINTS, fingerprint(COMMANDS[item.stage])
    before = read_fingerprint(noted)
    edited = edited_modules(before, now)
    if edited and any(file != noted for file in folder.glob("[!.]*")):
        made = f"before {', '.join(edited)} was edited" if before else "by code that is not noted"
        raise StageError(
            f"{item.name}: its checkpoints in {folder} were made {made}. `python -m pipeline "
            f"accept-code {item.name}` lets it go on from them with the code as it is now; or undo "
            "the edit; or delete the folder to train anew"
        )
    if edited:
        write_json(noted, now)
    return folder


@contextmanager
def only_run(item: Item) -> Iterator[None]:
    """Let one run at a time train an item; of torchrun's processes the first one speaks for all.

    The lock is this process's own: it holds although DVC or Snakemake was killed, and on other
    nodes too.

    Args:
        item: What is trained.

    Raises:
        WriteError: another run is training it.
    """
    if not _is_first():
        yield
        return
    with exclusive(layout.CHECKPOINTS, item.name):
        yield


def discard_checkpoints(item: Item) -> None:
    """Remove the checkpoints of a run whose result is stored.

    They stay if what started this process (DVC) was killed: nobody records the result then, so
    DVC starts the stage again, which stores it from them without training.

    Args:
        item: What was trained.
    """
    if _STARTER is None or _is_alive(_STARTER):
        shutil.rmtree(item.scratch, ignore_errors=True)


def report_interruption(item: Item, where: str) -> None:
    """Say that SIGTERM stopped a run and how it goes on.

    Args:
        item: What is trained.
        where: Where it stopped.
    """
    print(
        f"{item.name} {where}, because of SIGTERM; no result is stored, what was "
        f"done is kept in {item.scratch}: the same again (in Slurm: the "
        "retry) goes on from there",
        flush=True,
    )


def check_unchanged(used: dict[str, Any], item: Item) -> None:
    """DVC records the params as they are at the end, so they must still be what the run used.

    Under Snakemake they are: it runs with a copy.

    Raises:
        StageError: a key that the stage depends on was edited meanwhile.
    """
    now = load_params()
    try:
        current = used_params(now, item)
    except KeyError:  # the variant is gone
        current = {}
    changed = [name for name, value in used.items() if current.get(name) != value]
    if changed:
        raise StageError(
            f"params.yaml was edited during the run (changed: {', '.join(changed)}), so its "
            "result was not stored; the finished checkpoint is kept: undo the edit and start "
            "again to store it without training, or start again to train with the edit"
        )
