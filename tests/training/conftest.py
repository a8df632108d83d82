"""The analytic rooms, alone and in a workspace, on one thread."""

import pytest
import torch

from pipeline.training.checkpoint import Checkpoints
from pipeline.training.pretrain import Pretrained, pretrain
from tests.room import artifacts, enter, one_thread, pair_batches  # noqa: F401
from tests.training.trainings import VARIANT, training_params


@pytest.fixture(scope="session")
def undisturbed(artifacts, tmp_path_factory) -> Pretrained:  # noqa: F811
    """The training of tests.training.trainings in one process that nothing happens to."""
    torch.set_num_threads(1)
    params, folder = training_params(), tmp_path_factory.mktemp("undisturbed")
    batches = pair_batches(artifacts, params)
    return pretrain(params, VARIANT, 0, batches, torch.device("cpu"), Checkpoints(folder))
