"""ResNet encoders: torchvision's names, shapes and arithmetic."""

import math

import pytest
import torch
from torch.nn import functional

from pipeline.models.resnet import ENCODERS, ResNet

#: Stride, dilation of the first block and of the others, of each stage.
STRIDED = ((1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1))


def stuffed(weight, dilation):
    """The kernel of a dilated convolution as one without dilation: zeros between its taps."""
    size = dilation * (weight.shape[-1] - 1) + 1
    larger = torch.zeros(*weight.shape[:2], size, size)
    larger[:, :, ::dilation, ::dilation] = weight
    return larger


def reference_stages(state, images, blocks, kernels, plan=STRIDED):
    """The four stages from a state dict alone; `kernels` are the convolutions of one block."""

    def conv_bn(x, conv, norm, stride, dilation=1):
        weight = stuffed(state[f"{conv}.weight"], dilation)
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        statistics = (state[f"{norm}.running_mean"], state[f"{norm}.running_var"])
        return functional.batch_norm(x, *statistics, state[f"{norm}.weight"], state[f"{norm}.bias"])

    x = functional.relu(conv_bn(images, "conv1", "bn1", 2))
    x = functional.max_pool2d(x, 3, 2, 1)
    stages = []
    for stage, (count, (stage_stride, entry, others)) in enumerate(
        zip(blocks, plan, strict=True), 1
    ):
        for block in range(count):
            name = f"layer{stage}.{block}"
            first, before = (stage_stride, entry) if block == 0 else (1, others)
            residual = x
            if f"{name}.downsample.0.weight" in state:
                residual = conv_bn(x, f"{name}.downsample.0", f"{name}.downsample.1", first)
            strided = 2 if len(kernels) == 3 else 1  # torchvision: the 3x3 of a bottleneck
            for index in range(1, len(kernels) + 1):
                stride = first if index == strided else 1
                dilation = before if index == strided else others
                x = conv_bn(x, f"{name}.conv{index}", f"{name}.bn{index}", stride, dilation)
                assert state[f"{name}.conv{index}.weight"].shape[-1] == kernels[index - 1]
                if index < len(kernels):
                    x = functional.relu(x)
            x = functional.relu(x + residual)
        stages.append(x)
    return stages


def make_encoder(name, images, **options):
    torch.manual_seed(0)
    encoder = ResNet(name, width=0.25, **options)
    encoder(images)  # moves the running statistics off their start
    return encoder.eval()


@pytest.mark.parametrize(
    ("name", "kernels", "options", "plan"),
    [
        ("resnet18", (3, 3), {}, STRIDED),
        ("resnet34", (3, 3), {}, STRIDED),
        ("resnet50", (1, 3, 1), {}, STRIDED),
        # torchvision's replace_stride_with_dilation [False, False, True] and [False, True, True]
        ("resnet50", (1, 3, 1), {"output_stride": 16}, (*STRIDED[:3], (1, 1, 2))),
        ("resnet18", (3, 3), {"output_stride": 8}, (*STRIDED[:2], (1, 1, 2), (1, 2, 4))),
        # Pri3D's PSPNet: "conv2" of all blocks of layer3 and layer4
        (
            "resnet50",
            (1, 3, 1),
            {"output_stride": 8, "dilated_entry": True},
            (*STRIDED[:2], (1, 2, 2), (1, 4, 4)),
        ),
    ],
)
def test_forward_equals_torchvisions_definition(name, kernels, options, plan):
    images = torch.randn(2, 3, 50, 70)
    encoder = make_encoder(name, images, **options)
    expected = reference_stages(encoder.state_dict(), images, ENCODERS[name][1], kernels, plan)
    for stage, reference, channels in zip(
        encoder(images), expected, encoder.stage_channels, strict=True
    ):
        assert stage.shape[1] == channels
        torch.testing.assert_close(stage, reference)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 96), (50, 71)])
def test_dilated_encoder_has_the_strided_values_between_new_ones(name, output_stride, size):
    images = torch.randn(1, 3, *size)
    strided = make_encoder(name, torch.randn(4, 3, 64, 64))
    dilated = ResNet(name, width=0.25, output_stride=output_stride)
    dilated.load_state_dict(strided.state_dict())  # strict: the same names and shapes
    pairs = zip(strided(images), dilated.eval()(images), (4, 8, 16, 32), strict=True)
    for expected, stage, stride in pairs:
        step = max(1, stride // output_stride)
        rounded_up = [-(-side // min(stride, output_stride)) for side in size]
        assert list(stage.shape[2:]) == rounded_up
        torch.testing.assert_close(stage[..., ::step, ::step], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    # torchvision's state dicts have 122, 218 and 320 tensors with fc.weight and fc.bias, and its
    # models 11,689,512, 21,797,672 and 25,557,032 parameters.
    [
        ("resnet18", 120, 11_689_512 - 513_000),
        ("resnet34", 216, 21_797_672 - 513_000),
        ("resnet50", 318, 25_557_032 - 2_049_000),
    ],
)
def test_state_dict_is_torchvisions_without_the_classifier(name, tensors, parameters):
    with torch.device("meta"):
        encoder = ResNet(name)
    state = encoder.state_dict()
    assert len(state) == tensors
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert state["conv1.weight"].shape == (64, 3, 7, 7)
    assert state["bn1.num_batches_tracked"].shape == ()
    expansion = 4 if name == "resnet50" else 1
    assert state["layer2.0.downsample.0.weight"].shape == (128 * expansion, 64 * expansion, 1, 1)
    assert state["layer2.0.downsample.1.running_var"].shape == (128 * expansion,)
    assert state["layer4.1.conv2.weight"].shape == (512, 512, 3, 3)


@pytest.mark.parametrize(
    ("width", "base"), [(1.0, 64), (0.25, 16), (0.3, 16), (0.01, 8), (2.0, 128)]
)
def test_width_scales_all_channels_from_a_multiple_of_8(width, base):
    with torch.device("meta"):
        basic, bottleneck = ResNet("resnet18", width), ResNet("resnet50", width)
    assert basic.conv1.out_channels == base
    assert basic.stage_channels == (base, 2 * base, 4 * base, 8 * base)
    assert bottleneck.stage_channels == (4 * base, 8 * base, 16 * base, 32 * base)


def test_initial_weights_have_the_documented_spread():
    torch.manual_seed(0)
    weight = ResNet("resnet18").layer4[1].conv2.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 512)), rel=0.01)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"resnet19.*resnet18, resnet34, resnet50"):
        ResNet("resnet19")
    with pytest.raises(ValueError, match=r"width must be positive, is 0\.0"):
        ResNet("resnet18", width=0.0)
    with pytest.raises(ValueError, match=r"no output stride 4; known: 8, 16, 32"):
        ResNet("resnet18", output_stride=4)
