"""What a step costs beside the peer's."""

import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.geometry.loader_rows import N_MATCHES, Stores, export
from benchmarks.geometry.measure import cpu_seconds
from benchmarks.geometry.rows import Row, SkippedError
from benchmarks.geometry.stage_jobs import Mode, params
from benchmarks.geometry.workspace import Workspace
from benchmarks.training import peer, steps
from pipeline.config import Params
from pipeline.data.pairs import PairBatch, PairBatches
from pipeline.training.arithmetic import place
from pipeline.training.optimisation import make_sgd

#: Frame pairs of a step, and more voxels than their chunks have.
PAIRS, VOXELS = 2, 1_500_000
#: Of the images.
SIZE = (240, 320)
#: Channels of the embedding (paper: 128).
CHANNELS = 128
#: Least ratio that is wanted.
TARGET = 2.0


class Steps:
    """The same steps for both sides: their pairs, files and artifacts."""

    def __init__(self, work: Workspace, mode: Mode, n: int) -> None:
        """Make the files, and compile what is timed later."""
        scans = work.native
        made_with = params(scans.raw_dir, mode=mode)
        section = made_with.pretraining.model_copy(update={"batch_pairs": PAIRS})
        self.params: Params = made_with.model_copy(update={"pretraining": section})
        self.n, self._targets = n, export(work, scans)
        self._stores = Stores(work.artifacts(scans, mode), scans)
        self._batches = PairBatches(
            self._stores.fresh(), section, made_with.geometry.matching, 0, with_voxels=True
        )
        self.names = [self.load(number).names for number in range(n)]

    def load(self, number: int) -> PairBatch:
        """Our batch, with nothing kept from the one before."""
        self._batches.scenes = self._stores.fresh()
        return self._batches[number]

    def load_as_peer(self, number: int) -> list[peer.Sample]:
        """The peer's samples of the same pairs."""
        samples = []
        for name in self.names[number]:
            scene, pair = name.rsplit(": ", 1)
            a, b = map(int, pair.split("-"))
            samples.append(peer.load(self._targets[scene], a, b))
        return samples


def outside_rows(work: Workspace) -> Iterator[Row]:
    """All of a step but the networks: reading, matching, gathering, losses and their gradients."""
    torch.set_num_threads(1)
    for mode in ("strict", "pri3d"):
        yield from _outside(Steps(work, mode, 2 if work.is_quick else 10), mode)


def _outside(made: Steps, mode: Mode) -> Iterator[Row]:
    small = made.params.model.model_copy(update={"encoder": "resnet18", "width": 0.125})
    model = steps.networks(made.params.model_copy(update={"model": small}))
    last, first = (
        steps.StandIns.random(PAIRS, CHANNELS, SIZE, VOXELS, layout)
        for layout in (torch.channels_last, torch.contiguous_format)
    )
    batches = [made.load(number) for number in range(made.n)]
    samples = [made.load_as_peer(number) for number in range(made.n)]

    def ours(number: int) -> None:
        steps.our_gradients(made.params, model, last, batches[number])

    def theirs(number: int) -> None:
        matches = [peer.match(sample, N_MATCHES) for sample in samples[number]]
        steps.their_gradients(first, samples[number], matches)

    ours_load, theirs_load = _ms(made, made.load), _ms(made, made.load_as_peer)
    ours_loss, theirs_loss = _ms(made, ours), _ms(made, theirs)
    about = f"{made.n} steps of {PAIRS} pairs, {N_MATCHES} matches, {CHANNELS} channels, VIEW+GEO"
    yield Row(
        f"step without its networks, 240x320, {mode} matches",
        "ms CPU/pair",
        ours_load + ours_loss,
        theirs_load + theirs_loss,
        at_least=TARGET,
        note=f"{about}; nothing kept between steps; of these, reading {ours_load:.1f} against "
        f"{theirs_load:.1f}",
    )
    yield Row(
        f"the same on data that are loaded, {mode} matches",
        "ms CPU/pair",
        ours_loss,
        theirs_loss,
        note=f"{about}; gathering, losses and gradients; the peer matches here, the pipeline while "
        "it loads",
    )


def _ms(made: Steps, work: Callable[[int], object]) -> float:
    """Milliseconds of CPU time a pair; the first step is not counted."""
    work(0)
    seconds, _ = cpu_seconds(lambda: [work(number) for number in range(made.n)])
    return seconds / (made.n * PAIRS) * 1000


def whole_rows(work: Workspace) -> Iterator[Row]:
    """A whole step of the full-size networks on a GPU."""
    if not torch.cuda.is_available():
        raise SkippedError("the whole step is for a GPU, and torch finds none")
    yield from whole_step_rows(Steps(work, "pri3d", 2 if work.is_quick else 10), "cuda")


def whole_step_rows(made: Steps, device_name: str) -> Iterator[Row]:
    """The same networks on both sides, the peer's in float32 as it runs them, ours also in bf16."""
    device = torch.device(device_name)
    batches = [made.load(number) for number in range(made.n)]
    samples = [made.load_as_peer(number) for number in range(made.n)]

    def ms(work: Callable[[int], float]) -> float:
        work(0)
        start = time.perf_counter()
        for number in range(made.n):
            work(number)  # ends by reading the loss, so after all that the device had to do
        return (time.perf_counter() - start) / (made.n * PAIRS) * 1000

    model = steps.networks(made.params).to(device)
    optimizer = make_sgd(model.parameters(), made.params.pretraining)
    theirs = ms(lambda n: steps.their_step(model, optimizer, samples[n], device, N_MATCHES))
    for precision in ("float32", "bf16"):
        compute = made.params.pretraining.compute.model_copy(update={"precision": precision})
        ours_model = place(steps.networks(made.params), compute, device)
        ours_optimizer = make_sgd(ours_model.parameters(), made.params.pretraining)
        ours = ms(
            lambda n, model=ours_model, optimizer=ours_optimizer: steps.our_step(
                made.params, model, optimizer, batches[n], device
            )
        )
        yield Row(
            f"whole step on {device_name}, {precision}",
            "ms/pair",
            ours,
            theirs,
            note=f"wall time, {made.n} steps of {PAIRS} pairs on loaded data, VIEW+GEO; the peer's "
            "step in float32",
        )
