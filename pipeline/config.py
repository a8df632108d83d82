"""The model of params.yaml: the only knobs of the pipeline, with units and sources.

`python -m pipeline check-params` validates a file; docs/params.schema.json is generated from here.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.params_problems import describe
from pipeline.yaml_file import YamlError, read_yaml

#: Largest match radius in voxels, as in geometry.correspondence (which config cannot import).
MAX_RADIUS_VOXELS = 3
#: Set by the Snakefile to the copy of params.yaml that a run started with.
PARAMS_VARIABLE = "PIPELINE_PARAMS"

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Size = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]
#: Names become folder names and parts of stage names, where `-` and `@` separate.
Slug = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]


class ParamsError(Exception):
    """params.yaml cannot be used; the text names key, value and what is allowed."""


class Section(BaseModel):
    """A section of params.yaml: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Dataset(Section):
    """Where the RGB-D sequences come from."""

    name: Slug = Field(description="key of data/, models/ and results/")
    reader: Literal["scannet", "scannet_exported", "seven_scenes", "posed_folder"] = Field(
        description="layout of the raw folder (docs/datasets.md)"
    )
    raw_dir: str = Field(description="raw folder; `~` and environment variables are expanded")
    scenes: str | list[str] = Field(
        "all", description="`all`, or a list of scene names, or a text file with one a line"
    )
    validation_scenes: str | list[str] = Field(
        [], description="scenes held out from finetuning: a list, or a text file with one a line"
    )
    pretrain_split: Literal["train", "train_and_validation"] = Field(
        "train_and_validation",
        description="scenes pretrained on; papers 000 and 001 include the validation scenes",
    )
    frame_stride: int = Field(
        25, ge=1, description="keep every n-th raw frame (papers: every 25th; 001 section 4.2)"
    )
    image_size: Size = Field(
        (240, 320), description="height, width in pixels at training (Pri3D: 240, 320)"
    )
    mesh: Literal["dataset", "fuse"] = Field(
        "dataset", description="use the dataset's reconstruction, or fuse one from the frames"
    )


class Labelled(Section):
    """The labelled frames for finetuning and evaluation."""

    reader: Literal["scannet_frames_25k", "seven_scenes", "posed_folder"] = Field(
        description="layout of the folder with the labelled frames"
    )
    raw_dir: str = Field(description="folder with the labelled frames")
    frame_stride: int = Field(1, ge=1, description="keep every n-th labelled frame")
    label_map: Literal["scannet20"] | list[Annotated[int, Field(ge=0, le=65535)]] = Field(
        "scannet20",
        description="raw label id -> class: ScanNet's 20 of NYU40, or the raw ids of 0, 1, ...",
    )
    validation_frames: dict[str, list[int]] = Field(
        {}, description="scene -> frame ids held out; for data without held-out scenes"
    )


class Rooms(Section):
    """The embedded default: procedural rooms in ScanNet's raw format."""

    seed: int = Field(0, ge=0, description="the only source of randomness of the rooms")
    n_train: int = Field(16, ge=1, description="rooms in scannetv2_train.txt")
    n_validation: int = Field(4, ge=1, description="rooms in scannetv2_val.txt")
    frames_per_room: int = Field(24, ge=4, description="frames in each .sens")
    labelled_stride: int = Field(2, ge=1, description="every n-th frame goes to frames_25k")
    color_size: Size = Field((242, 324), description="height, width of the JPEGs, pixels")
    depth_size: Size = Field((240, 320), description="height, width of the depth, pixels")
    room_size_m: tuple[Positive, Positive] = Field(
        (3.2, 5.5), description="shortest and longest wall, metres"
    )
    colour_informativeness: Fraction = Field(
        0.5, description="0: colour tells nothing about object and class; 1: it names the class"
    )
    mesh_voxel_size_m: Positive = Field(0.03, description="fusion voxel of _vh_clean_2.ply, metres")
    depth_noise: Fraction = Field(
        1.0, description="strength of the Kinect's noise (1: as measured, 0: perfect depth)"
    )
    lost_frame_fraction: Fraction = Field(0.02, description="frames whose depth is empty")
    lost_pose_fraction: Fraction = Field(0.02, description="frames whose pose is -inf")


class Fusion(Section):
    """Mesh of a scene that ships none."""

    voxel_size_m: Positive = Field(0.02, description="metres")
    depth_max_m: Positive = Field(5.0, description="depth beyond this is not fused, metres")
    min_weight: float = Field(3.0, ge=0, description="observations a surface needs")


class Matching(Section):
    """Which pixels and voxels, or pixels and pixels, count as one place (spec A.8, F.1)."""

    mode: Literal["strict", "pri3d"] = Field(
        "strict", description="strict: distance in 3D (paper 000); pri3d: depth test of the code"
    )
    radius_m: Positive = Field(
        0.02, le=0.255, description="strict: largest 3D distance, metres (paper 000: 0.02)"
    )
    pri3d_pixel_z_m: Positive = Field(0.05, description="pri3d: pixel pairs, along z (code: 0.05)")
    pri3d_voxel_z_m: Positive = Field(
        0.20, le=0.255, description="pri3d: pixel-voxel, along z, metres (code: 0.20)"
    )

    @property
    def pixel_tolerance_m(self) -> float:
        """Tolerance of pixel pairs in this mode, metres."""
        return self.radius_m if self.mode == "strict" else self.pri3d_pixel_z_m


class Oversegmentation(Section):
    """Felzenszwalb oversegmentation of the mesh (paper 001, Table 9; spec B.1)."""

    k: list[Positive] = Field(
        [0.01, 0.02, 0.03, 0.04, 0.05], min_length=1, description="kThresh values, all made"
    )
    min_vertices: int = Field(20, ge=1, description="smallest segment (Segmentator: 20)")


class Sets(Section):
    """Segments projected into frames (paper 001, section 3.2)."""

    projection: Literal["voxel_map", "ray_casting"] = Field(
        "voxel_map",
        description="a pixel shows the set of the voxel it is matched with, or that of the vertex "
        "nearest to where its ray meets the mesh",
    )
    min_pixels: int = Field(1, ge=1, description="smallest set kept in a frame, pixels")


class Overlaps(Section):
    """Surface overlap of two frames (spec A.4)."""

    cell_m: Positive = Field(0.05, description="down-sampling cell, metres")
    radius_m: Positive = Field(0.075, description="a point has a partner within this, metres")
    pixel_pairs_from: Fraction | None = Field(
        None,
        description="store the matched pixels of frame pairs that overlap by this or more, for "
        "other uses: training always derives its own from the frames; null: none",
    )


class Geometry(Section):
    """The geometry artifacts."""

    voxel_size_m: Positive = Field(0.02, description="3D input grid (Pri3D: 0.02), metres")
    fusion: Fusion = Fusion()
    matching: Matching = Matching()
    oversegmentation: Oversegmentation = Oversegmentation()
    sets: Sets = Sets()
    overlaps: Overlaps = Overlaps()

    @model_validator(mode="after")
    def _radius_is_a_few_voxels(self) -> "Geometry":
        matching, limit_m = self.matching, MAX_RADIUS_VOXELS * self.voxel_size_m
        if matching.mode == "strict" and matching.radius_m > limit_m:
            raise ValueError(
                f"matching.radius_m is {matching.radius_m}, allowed are up to "
                f"{MAX_RADIUS_VOXELS} voxels: {limit_m:g}"
            )
        return self


class Model(Section):
    """Networks (spec C.1, C.2)."""

    encoder: Literal["resnet18", "resnet50"] = Field("resnet50", description="2D encoder")
    width: Positive = Field(1.0, le=2, description="factor on every 2D channel count")
    feature_channels: int | None = Field(
        None, ge=1, description="channels of the last decoder block; null: Pri3D's (128, R50)"
    )
    init: Literal["random", "checkpoint"] = Field(
        "random", description="start of the 2D encoder (the papers: ImageNet checkpoint)"
    )
    init_checkpoint: str | None = Field(
        None,
        description="for init: checkpoint: torchvision's state dict (.pth, .safetensors), or "
        "Detectron2's conversion of one (.pkl)",
    )
    sparse_backend: Literal["torch"] = Field("torch", description="3D convolution")
    sparse_planes: list[int] = Field(
        [32, 64, 128, 256, 256, 128, 96, 96],
        description="MinkUNet34C: 4 encoder and 4 decoder stages",
    )
    sparse_blocks: list[int] = Field(
        [2, 3, 4, 6, 2, 2, 2, 2], description="residual blocks of each stage (MinkUNet34)"
    )
    sparse_stem_channels: int = Field(32, ge=1, description="channels of the 5x5x5 stem")
    embedding_dim: int = Field(
        128, ge=2, description="width shared by the 2D and 3D embeddings (Pri3D: 128)"
    )
    linear_dim: int = Field(
        96, ge=2, description="(lin): width of the projected GEO space (paper 000: 128 -> 96)"
    )

    @model_validator(mode="after")
    def _stages_match(self) -> "Model":
        if len(self.sparse_planes) != len(self.sparse_blocks) or len(self.sparse_planes) % 2:
            raise ValueError("sparse_planes and sparse_blocks need the same even length")
        if (self.init == "checkpoint") != (self.init_checkpoint is not None):
            raise ValueError("init_checkpoint goes with init: checkpoint, and only with it")
        return self


class Contrast(Section):
    """PointInfoNCE (paper 000 Eq. 1; spec C.4)."""

    temperature: Positive = Field(0.4, description="tau (000 section 4.1.1: 0.4)")
    n_matches: int = Field(1024, ge=2, description="matches per pair (VIEW), per view (GEO)")
    symmetric: bool = Field(True, description="average both directions (code) or a to b (Eq. 1)")
    negatives: Literal["pair", "batch"] = Field("pair", description="where negatives come from")


class Augmentation(Section):
    """Colour augmentation of pretraining (spec A.7; confounder, see spec F.1 item 4)."""

    colour: bool = Field(False, description="Pri3D's jitter, grayscale and blur, or none (paper)")


class Pretraining(Section):
    """Contrastive pretraining (spec C.4, C.6)."""

    min_overlap: Fraction = Field(0.3, description="frame pairs kept (papers: 0.30)")
    steps: int | None = Field(None, ge=1, description="optimiser steps; null: from `epochs`")
    epochs: int = Field(5, ge=1, description="passes over all pairs, if `steps` is null (001: 5)")
    batch_pairs: int = Field(64, ge=1, description="frame pairs a step (papers: 64)")
    pairs_per_scene: int = Field(
        1,
        ge=1,
        description="pairs of one scene drawn together; they share one pass of the 3D network "
        "(papers: 1, pairs drawn one by one)",
    )
    accumulation: int = Field(
        1,
        ge=1,
        description="steps are split into this many parts, whose gradients are averaged; up to as "
        "many processes (GPUs) share them, and how many do changes nothing but the time",
    )
    learning_rate: Positive = Field(0.1, description="initial rate (papers: 0.1)")
    momentum: Fraction = Field(0.9, description="SGD momentum")
    dampening: Fraction = Field(0.1, description="SGD dampening (code: 0.1)")
    weight_decay: float = Field(0.0, ge=0, description="SGD weight decay")
    poly_power: Positive = Field(0.9, description="polynomial decay (papers: 0.9)")
    contrast: Contrast = Contrast()
    augmentation: Augmentation = Augmentation()
    checkpoint_every: int = Field(100, ge=1, description="steps between resumable checkpoints")
    workers: int = Field(0, ge=0, description="loader processes")

    @model_validator(mode="after")
    def _parts_are_equal(self) -> "Pretraining":
        if self.batch_pairs % self.accumulation:
            raise ValueError(
                f"batch_pairs ({self.batch_pairs}) must be a multiple of accumulation "
                f"({self.accumulation})"
            )
        return self


class Variant(Section):
    """One row of the tables: which losses pretrain it."""

    losses: list[Literal["view", "geo"]] = Field(description="[] is the row without pretraining")
    linear: bool = Field(False, description="(lin): linear layers before GEO (000 section 3.2)")
    learning_rate: Positive | None = Field(None, description="instead of pretraining's")


class Finetuning(Section):
    """Finetuning on depth, reconstruction and segmentation (000 section 4.1.2; spec D.1, D.5)."""

    tasks: list[Literal["depth", "reconstruction", "segmentation"]] = Field(
        ["depth", "reconstruction", "segmentation"], min_length=1, description="downstream tasks"
    )
    protocols: list[Literal["frozen", "half_frozen", "full"]] = Field(
        ["frozen", "half_frozen", "full"], min_length=1, description="what is trained"
    )
    steps: dict[Literal["frozen", "half_frozen", "full"], Annotated[int, Field(ge=1)]] = Field(
        {}, description="optimiser steps of a protocol; one that is not named: from `epochs`"
    )
    epochs: int = Field(80, ge=1, description="passes over the frames (code: 80)")
    batch_images: int = Field(8, ge=1, description="images a step (code: 8)")
    learning_rate: Positive = Field(0.01, description="initial rate (code: 0.01)")
    momentum: Fraction = Field(0.9, description="SGD momentum")
    dampening: Fraction = Field(0.1, description="SGD dampening (code: 0.1)")
    weight_decay: float = Field(0.0, ge=0, description="SGD weight decay")
    poly_power: Positive = Field(0.9, description="polynomial decay")
    mlp_channels: int = Field(128, ge=1, description="hidden width of the per-pixel MLP")
    evaluations: int = Field(4, ge=1, description="validations; the last at the end of training")
    frozen_batch_norm: Literal["eval", "train"] = Field(
        "eval", description="BatchNorm of frozen parts"
    )
    depth_max_m: Positive = Field(10.0, description="depth beyond this is ignored, metres")
    keep_weights: bool = Field(True, description="store the finetuned weights in models/")


class Params(Section):
    """params.yaml."""

    seeds: list[int] = Field(
        [0, 1],
        min_length=1,
        description="each varies initial weights, sampling and order of pretraining and finetuning",
    )
    dataset: Dataset
    labelled: Labelled
    rooms: Rooms | None = Field(None, description="embedded rooms to make; null for real data")
    geometry: Geometry = Geometry()
    model: Model = Model()
    pretraining: Pretraining = Pretraining()
    variants: dict[Slug, Variant] = Field(description="definition of each row")
    rows: list[Slug] = Field(min_length=1, description="variants that are trained and tabulated")
    finetuning: Finetuning = Finetuning()
    tables: list[Literal["000.t1"]] = Field(["000.t1"], description="tables to make")

    @model_validator(mode="after")
    def _names_stand_once(self) -> "Params":
        for key in ("seeds", "rows", "tables"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} is {values}, but each may stand there once")
        return self

    @model_validator(mode="after")
    def _rows_are_variants(self) -> "Params":
        unknown = sorted(set(self.rows) - set(self.variants))
        if unknown:
            raise ValueError(f"rows {unknown} are not in variants {sorted(self.variants)}")
        return self

    @model_validator(mode="after")
    def _held_out_frames_are_not_pretrained_on(self) -> "Params":
        if self.dataset.pretrain_split == "train" and self.labelled.validation_frames:
            raise ValueError(
                "dataset.pretrain_split: train leaves out whole scenes, so it cannot go with "
                "labelled.validation_frames, which hold out frames of scenes that are trained on"
            )
        return self

    def values(self, *keys: str) -> dict[str, Any]:
        """Plain values of dotted keys, e.g. `geometry.matching`.

        Raises:
            KeyError: there is no such key.
        """
        values = {}
        for key in keys:
            value: Any = self.model_dump(mode="json")
            for part in key.split("."):
                value = value[part]
            values[key] = value
        return values

    def section_hash(self, *sections: str) -> str:
        """First 12 hex digits of the sha256 of the named sections (all, if none is named)."""
        content = self.model_dump(mode="json", include=set(sections) or None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def params_path() -> Path:
    """The params file of this run: $PIPELINE_PARAMS where set, else params.yaml."""
    return Path(os.environ.get(PARAMS_VARIABLE) or "params.yaml")


def load_params(path: str | os.PathLike[str] | None = None) -> Params:
    """Read and validate a params file.

    Args:
        path: The file; by default that of this run (`params_path`).

    Returns:
        The validated params.

    Raises:
        ParamsError: the file is missing, is not YAML, or has a wrong key or value.
    """
    file = Path(path) if path is not None else params_path()
    try:
        content = read_yaml(file)
    except FileNotFoundError as error:
        raise ParamsError(f"{file}: no such file; copy one of presets/ to params.yaml") from error
    except OSError as error:
        raise ParamsError(f"{file}: cannot be read: {error.strerror}") from error
    except YamlError as error:
        raise ParamsError(str(error)) from error
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        problems = describe(error, content, Params)
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise ParamsError(f"{file}: {len(problems)} problem(s)\n{lines}") from error
