"""MinkUNet34C in MinkowskiEngine's own layers: the peer, and the reference of the tests.

Structure and names are those of the examples of MinkowskiEngine 0.5 (minkunet.py, resnet.py and
modules/resnet_block.py; the package has only the last). It shares no code with the pipeline.
"""

import re
from typing import Any

from torch import Tensor, nn

from pipeline.models.sparse.minkowski_sites import import_engine

#: MinkUNet34C's class attributes.
PLANES, LAYERS, INIT_DIM = (32, 64, 128, 256, 256, 128, 96, 96), (2, 3, 4, 6, 2, 2, 2, 2), 32
#: Stride at which a strided convolution and its transpose start, as the names say.
_DOWN = ("conv1p1s2", "conv2p2s2", "conv3p4s2", "conv4p8s2")
_UP = ("convtr4p16s2", "convtr5p8s2", "convtr6p4s2", "convtr7p2s2")


def _convolution(inputs: int, outputs: int, kernel_size: int, **arguments: Any) -> nn.Module:
    layer = import_engine().MinkowskiConvolution
    return layer(inputs, outputs, kernel_size=kernel_size, dimension=3, **arguments)


def _norm(channels: int) -> nn.Module:
    return import_engine().MinkowskiBatchNorm(channels)


def _relu() -> nn.Module:
    return import_engine().MinkowskiReLU(inplace=True)


class BasicBlock(nn.Module):
    """MinkowskiEngine.modules.resnet_block.BasicBlock at stride 1."""

    def __init__(self, inplanes: int, planes: int, downsample: nn.Module | None):
        super().__init__()
        self.conv1, self.norm1 = _convolution(inplanes, planes, 3), _norm(planes)
        self.conv2, self.norm2 = _convolution(planes, planes, 3), _norm(planes)
        self.relu, self.downsample = _relu(), downsample

    def forward(self, x: Any) -> Any:
        """SparseTensor to SparseTensor."""
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class MinkUNet34C(nn.Module):
    """minkunet.MinkUNet34C."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.inplanes = INIT_DIM
        self.conv0p1s1, self.bn0 = _convolution(in_channels, INIT_DIM, 5), _norm(INIT_DIM)
        for index, name in enumerate(_DOWN):
            self.add_module(name, _convolution(self.inplanes, self.inplanes, 2, stride=2))
            self.add_module(f"bn{index + 1}", _norm(self.inplanes))
            self.add_module(f"block{index + 1}", self._make_layer(PLANES[index], LAYERS[index]))
        for index, name in enumerate(_UP, 4):
            transpose = import_engine().MinkowskiConvolutionTranspose
            up = transpose(self.inplanes, PLANES[index], kernel_size=2, stride=2, dimension=3)
            self.add_module(name, up)
            self.add_module(f"bntr{index}", _norm(PLANES[index]))
            self.inplanes = PLANES[index] + (PLANES[6 - index] if index < 7 else INIT_DIM)
            self.add_module(f"block{index + 1}", self._make_layer(PLANES[index], LAYERS[index]))
        self.final = _convolution(PLANES[7], out_channels, 1, bias=True)
        self.relu = _relu()

    def _make_layer(self, planes: int, blocks: int) -> nn.Sequential:
        downsample = None
        if self.inplanes != planes:
            downsample = nn.Sequential(_convolution(self.inplanes, planes, 1), _norm(planes))
        first = BasicBlock(self.inplanes, planes, downsample)
        self.inplanes = planes
        return nn.Sequential(first, *(BasicBlock(planes, planes, None) for _ in range(blocks - 1)))

    def forward(self, coords: Tensor, features: Tensor) -> Tensor:
        """Coordinates int32 (N, 4) and features (N, in_channels) to embeddings, in their order."""
        modules = dict(self.named_children())
        x = import_engine().SparseTensor(features, coords)
        out = self.relu(self.bn0(self.conv0p1s1(x)))
        skips = []
        for index, name in enumerate(_DOWN, 1):
            skips.append(out)
            out = self.relu(modules[f"bn{index}"](modules[name](out)))
            out = modules[f"block{index}"](out)
        for index, name in enumerate(_UP, 4):
            out = self.relu(modules[f"bntr{index}"](modules[name](out)))
            out = modules[f"block{index + 1}"](import_engine().cat(out, skips.pop()))
        return self.final(out).F


def load_pipelines(net: MinkUNet34C, state: dict[str, Tensor]) -> None:
    """Load a state of the pipeline's `SparseUNet`: other names, every tensor the same.

    MinkowskiEngine keeps a 1x1x1 kernel as a matrix and a bias as a row.
    """
    own = net.state_dict()
    renamed = {_rename(name): tensor for name, tensor in state.items()}
    net.load_state_dict({name: tensor.reshape(own[name].shape) for name, tensor in renamed.items()})


#: Part of the pipeline's network -> names of its convolution and normalisation here.
_PARTS: dict[str, tuple[str, str]] = {
    "stem": ("conv0p1s1", "bn0"),
    **{f"down.{i}.0": (_DOWN[i], f"bn{i + 1}") for i in range(4)},
    **{f"up.{i}": (_UP[i], f"bntr{i + 4}") for i in range(4)},
}
_IN_BLOCK = {
    "first": ("conv1", "norm1"),
    "second": ("conv2", "norm2"),
    "shortcut": ("downsample.0", "downsample.1"),
}


def _rename(name: str) -> str:
    if name.startswith("final."):
        return name.replace("weight", "kernel")
    part, kind, tensor = re.fullmatch(r"(.*)\.(convolution|norm)\.(\w+)", name).groups()  # type: ignore[union-attr]
    block = re.fullmatch(r"(?:down\.(\d)\.1|merge\.(\d))\.(\d+)\.(\w+)", part)
    if block is None:
        prefix, names = "", _PARTS[part]
    else:
        down, merge, index, layer = block.groups()
        stage = int(down) + 1 if down else int(merge) + 5
        prefix, names = f"block{stage}.{index}.", _IN_BLOCK[layer]
    return prefix + (f"{names[0]}.kernel" if kind == "convolution" else f"{names[1]}.bn.{tensor}")
