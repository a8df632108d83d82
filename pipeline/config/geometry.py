"""Section of params.yaml: the geometry artifacts."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.section import Fraction, Positive, Section

#: Largest match radius in voxels, as in geometry.correspondence (which config cannot import).
MAX_RADIUS_VOXELS = 3


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
