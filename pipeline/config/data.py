"""Sections of params.yaml: the dataset, its labelled frames, the embedded rooms."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Fraction, Positive, Section, Size, Slug


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
