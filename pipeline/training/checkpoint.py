"""Weights and resumable states as safetensors; whole files and folders only under final names."""

import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pipeline.atomic import atomic_path, explained
from pipeline.models.loading import CheckpointError

#: The operating system's error in one of safetensors'.
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
#: Checkpoints kept, so that a damaged newest one costs little.
KEPT = 2


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path` and rename it to `path` on success.

    What killed runs left there is removed, so one run at a time may write `path`.

    Args:
        path: Final folder; an older one is replaced.

    Yields:
        An empty folder in the same parent.

    Raises:
        WriteError: the disk is full, or the parent cannot be written to.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.????????"):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o777 & ~umask)
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], content: Any = None) -> None:
    """Write tensors and a JSON-able description into one safetensors file, atomically.

    Raises:
        WriteError: the disk is full, or the folder cannot be written to.
    """
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            save_file(flat, temporary, metadata={"content": json.dumps(content, sort_keys=True)})
        except SafetensorError as error:
            if found := _SYSTEM_ERROR.search(str(error)):
                raise OSError(int(found[1]), str(error)) from error
            raise


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Read what `save_tensors` wrote.

    Raises:
        OSError, safetensors.SafetensorError: missing, or damaged.
    """
    with safe_open(path, framework="pt") as file:
        content = json.loads((file.metadata() or {}).get("content", "null"))
        return {name: file.get_tensor(name) for name in file.keys()}, content  # noqa: SIM118


def load_usable(path: Path) -> tuple[dict[str, torch.Tensor], Any] | None:
    """What `save_tensors` wrote, or None if it is missing; a damaged file is named and ignored."""
    try:
        return load_tensors(path)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError) as error:
        print(f"{path}: damaged or truncated ({error}); ignored", flush=True)
        return None


def training_state(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Weights, buffers and momenta as one flat dict (random draws depend on the step alone)."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            state[f"momentum.{name}"] = momentum
    return state


def restore_training_state(
    state: Mapping[str, torch.Tensor], model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Put a `training_state` back into a model and optimizer of the same structure.

    Raises:
        CheckpointError: of another structure: after an edit of the networks.
    """

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }

    try:
        model.load_state_dict(part("model."))
    except RuntimeError as error:
        raise CheckpointError(
            f"the checkpoint does not fit today's networks: undo the edit of the code, or delete "
            f"the training's folder in checkpoints/ to train anew ({error})"
        ) from error
    parameters = dict(model.named_parameters())
    for name, momentum in part("momentum.").items():
        parameter = parameters[name]
        optimizer.state[parameter]["momentum_buffer"] = momentum.to(parameter.device)


class Checkpoints:
    """The resumable states of one run, newest last, in a folder of their own.

    The caller names the folder by what the states belong to (params, data, seed), so that a run
    with other params never resumes them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.safetensors"))

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], content: Any = None) -> None:
        """Write the state after `step` steps and drop all but the newest ones."""
        path = self.folder / f"step-{step:09d}.safetensors"
        save_tensors(path, tensors, {"step": step, "content": content})
        for old in self._files()[:-KEPT]:
            old.unlink()

    def load_latest(self) -> tuple[int, dict[str, torch.Tensor], Any] | None:
        """Newest usable (step, tensors, content), or None."""
        for path in reversed(self._files()):
            if (found := load_usable(path)) is not None:
                tensors, stored = found
                return stored["step"], tensors, stored["content"]
        return None
