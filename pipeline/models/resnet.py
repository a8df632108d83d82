"""ResNet encoders with torchvision's state-dict keys and shapes, without torchvision.

torchvision's wheel does not import beside a CPU build of torch, and a width factor is wanted;
the keys are kept so that its ImageNet checkpoints load, and ours load into its networks.
"""

from jaxtyping import Float
from torch import Tensor, nn

#: Spacing of the cells that a block reads and of those that it writes, in cells of its input.
Spacing = tuple[int, int]


def _conv(
    inputs: int, outputs: int, kernel_size: int, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(
        inputs, outputs, kernel_size, stride, padding=padding, dilation=dilation, bias=False
    )


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Projection of the residual where its shape changes."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(_conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a residual (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, spacing: Spacing = (1, 1)):
        super().__init__()
        self.conv1 = _conv(inputs, planes, 3, stride, spacing[0])
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv(planes, planes, 3, dilation=spacing[1])
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inputs, planes, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Float (B, C, H, W) to (B, planes, H / stride, W / stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + residual)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution with a residual (ResNet-50); the stride is in the 3x3."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, spacing: Spacing = (1, 1)):
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = _conv(inputs, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3, stride, spacing[0])
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _conv(planes, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Float (B, C, H, W) to (B, 4 planes, H / stride, W / stride)."""
        residual = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + residual)


#: Name -> (block, number of blocks in each of the four stages).
ENCODERS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}

#: torchvision's names of the stages.
LAYERS = ("layer1", "layer2", "layer3", "layer4")

OUTPUT_STRIDES = (8, 16, 32)


class ResNet(nn.Module):
    """ResNet without its classifier, returning the four stages.

    Attributes:
        stage_channels: channels of the four stages.
    """

    def __init__(
        self,
        name: str,
        width: float = 1.0,
        output_stride: int = 32,
        dilated_entry: bool = False,
    ):
        """Make a randomly initialised encoder.

        Args:
            name: key of `ENCODERS`.
            width: factor on every channel count. The stem's 64 channels become the multiple of 8
                nearest to 64 * width (at least 8); all others keep their ratio to the stem, so
                that each stage has twice the channels of the one before.
            output_stride: 32, or 16 or 8: the last one or two stages keep the resolution of the
                one before, and their convolutions reach as far by dilation. The weights stay the
                same: at every second (fourth) cell the stages have the strided network's values.
            dilated_entry: whether the first block of such a stage is dilated like the others,
                although it reads cells of half their spacing; those values are lost then.

        Raises:
            ValueError: unknown name or output stride, or a width that is not positive.

        Source: He et al. 2016 as in torchvision (stride in the 3x3 of a bottleneck). Initial
            weights: normal(0, sqrt(2 / (k * k * outputs))) as Pri3D from scratch (spec C.1).
            Dilation: torchvision's replace_stride_with_dilation, as Pri3D's DeepLab; with
            `dilated_entry` as Pri3D's PSPNet (spec D.2, D.3).
        """
        super().__init__()
        if name not in ENCODERS:
            raise ValueError(f"no encoder {name!r}; known: {', '.join(ENCODERS)}")
        if not width > 0:
            raise ValueError(f"width must be positive, is {width}")
        if output_stride not in OUTPUT_STRIDES:
            raise ValueError(
                f"no output stride {output_stride}; known: {', '.join(map(str, OUTPUT_STRIDES))}"
            )
        block, depths = ENCODERS[name]
        base = max(8, round(64 * width / 8) * 8)
        self.conv1 = nn.Conv2d(3, base, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        inputs, reached, dilation = base, 4, 1
        for stage, (layer, depth) in enumerate(zip(LAYERS, depths, strict=True)):
            planes, before, stride = base * 2**stage, dilation, 1
            if stage > 0 and reached < output_stride:
                reached, stride = 2 * reached, 2
            elif stage > 0:
                dilation = 2 * dilation
            entry = (dilation if dilated_entry else before, dilation)
            blocks = [block(inputs, planes, stride, entry)]
            inputs = planes * block.expansion
            blocks += [block(inputs, planes, 1, (dilation, dilation)) for _ in range(depth - 1)]
            setattr(self, layer, nn.Sequential(*blocks))
        self.stage_channels = tuple(base * 2**stage * block.expansion for stage in range(4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the stages of a batch of images.

        Args:
            images: float (B, 3, H, W), ImageNet-normalised RGB.

        Returns:
            Four floats (B, C_i, H_i, W_i) at strides 4, 8, 16 and 32, but at most the output
            stride; sizes rounded up.
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        stages = []
        for layer in LAYERS:
            x = getattr(self, layer)(x)
            stages.append(x)
        return stages
