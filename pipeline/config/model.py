"""Section of params.yaml: the networks."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.section import Positive, Section

Encoder = Literal["resnet18", "resnet50"]


class Model(Section):
    """Networks (spec C.1, C.2)."""

    encoder: Encoder = Field("resnet50", description="2D encoder")
    width: Positive = Field(1.0, le=2, description="factor on every 2D channel count")
    feature_channels: int | None = Field(
        None, ge=1, description="channels of the last decoder block; null: Pri3D's (128, R50)"
    )
    init: Literal["random", "checkpoint"] = Field(
        "random", description="start of the 2D encoder (the papers: ImageNet checkpoint)"
    )
    init_checkpoint: str | None = Field(
        None,
        description="for `init: checkpoint`, here or of a variant: torchvision's state dict (.pth, "
        ".safetensors), or Detectron2's conversion of one (.pkl)",
    )
    sparse_backend: Literal["torch", "minkowski"] = Field(
        "torch",
        description="3D convolution: plain torch, or MinkowskiEngine (`make minkowski`); weights "
        "do not depend on it",
    )
    sparse_planes: list[int] = Field(
        [32, 64, 128, 256, 256, 128, 96, 96],
        description="MinkUNet34C: 4 encoder and 4 decoder stages",
    )
    sparse_blocks: list[int] = Field(
        [2, 3, 4, 6, 2, 2, 2, 2], description="residual blocks of each stage (MinkUNet34)"
    )
    sparse_stem_channels: int = Field(32, ge=1, description="channels of the 5x5x5 stem")
    embedding_dim: int | None = Field(
        128,
        ge=2,
        description="width shared by the 2D and 3D embeddings (Pri3D: 128, R50); null: that of the "
        "last decoder block (Pri3D: 128, R50; 32, R18)",
    )
    linear_layers: Literal["one", "two"] = Field(
        "one",
        description="(lin): one layer, on the 2D side, to the 3D network's width (paper 000), or "
        "one on either side (code)",
    )
    linear_dim: int = Field(
        96, ge=2, description="(lin): width of the space that GEO compares (paper: 96; code: 64)"
    )

    @model_validator(mode="after")
    def _stages_match(self) -> "Model":
        if len(self.sparse_planes) != len(self.sparse_blocks) or len(self.sparse_planes) % 2:
            raise ValueError("sparse_planes and sparse_blocks need the same even length")
        if self.init == "checkpoint" and self.init_checkpoint is None:
            raise ValueError("init: checkpoint needs an init_checkpoint")
        return self
