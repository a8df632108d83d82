"""The model of params.yaml: one module per section, all of them importable from here."""

from pipeline.config.data import Dataset, Labelled, Rooms
from pipeline.config.finetuning import (
    SEGMENTATION_ALONE,
    Finetuning,
    LabelFractions,
    NetworkName,
    Networks,
    Protocol,
    Steps,
)
from pipeline.config.geometry import MAX_RADIUS_VOXELS, Geometry, Matching
from pipeline.config.model import Encoder, Model
from pipeline.config.params import OF_NO_RESULT, Claims, Params, TableId
from pipeline.config.params_file import (
    PARAMS_VARIABLE,
    ParamsError,
    load_params,
    params_path,
    parse_params,
)
from pipeline.config.pretraining import (
    Augmentation,
    Compute,
    Contrast,
    DepthLoss,
    Moco,
    Pretraining,
    SecondStage,
    SetContrast,
    SetSource,
    Variant,
)

__all__ = [
    "MAX_RADIUS_VOXELS",
    "OF_NO_RESULT",
    "PARAMS_VARIABLE",
    "SEGMENTATION_ALONE",
    "Augmentation",
    "Claims",
    "Compute",
    "Contrast",
    "Dataset",
    "DepthLoss",
    "Encoder",
    "Finetuning",
    "Geometry",
    "LabelFractions",
    "Labelled",
    "Matching",
    "Moco",
    "Model",
    "NetworkName",
    "Networks",
    "Params",
    "ParamsError",
    "Pretraining",
    "Protocol",
    "Rooms",
    "SecondStage",
    "SetContrast",
    "SetSource",
    "Steps",
    "TableId",
    "Variant",
    "load_params",
    "params_path",
    "parse_params",
]
