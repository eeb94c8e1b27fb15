import math

import pytest
import torch
from torch import nn

from semask.base.errors import InputError
from semask.model import build, export_reference

ALL = ["tiny_c19", "small_c19", "base_c19", "large_c19", "tiny_c150_1x128x160"]


def on_meta(name):
    variant, classes = name.split("_")[:2]
    with torch.device("meta"):
        return build(variant, int(classes.removeprefix("c")))


def count(tensors):
    return sum(tensor.numel() for tensor in tensors)


@pytest.mark.parametrize("name", [*ALL, "narrow_c19_2x128x160"])
def test_names_shapes_and_dtypes_are_the_original_ones(keys, name):
    model = on_meta(name.replace("narrow", "nano"))

    exported = {
        key: [list(value.shape), str(value.dtype).removeprefix("torch.")]
        for key, value in export_reference(model).items()
    }

    assert exported == keys(name)["state_dict"]
    assert count(model.parameters()) == keys(name)["n_params"]


@pytest.mark.parametrize("classes", [19, 150, 171])
@pytest.mark.parametrize("variant", ["tiny", "small", "base", "large"])
def test_parameter_counts(counts, variant, classes):
    expected = counts[f"{variant}_c{classes}"]
    model = on_meta(f"{variant}_c{classes}")

    assert count(model.parameters()) == expected["params"]
    assert count(model.backbone.parameters()) == expected["backbone"]
    assert count(model.decode_head.parameters()) == expected["head"]
    assert count(model.buffers()) == expected["buffers"]
    assert len(export_reference(model)) == expected["nkeys"]
    semantic = [p for n, p in model.named_parameters() if ".semantic_layer." in n]
    assert count(semantic) == expected["semantic"]


def test_drop_path_rises_linearly_over_all_blocks():
    model = build("nano", 3, depths=(1, 2, 3, 1), drop_path=0.3)

    rates = [rate for stage in model.backbone.layers for rate in stage.drop_path]

    assert rates == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3])


def test_initialisation():
    torch.manual_seed(0)
    model = build("nano", 19)
    parameters = dict(model.named_parameters())

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert module.bias is None or not module.bias.any(), name
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            assert (module.weight == 1).all(), name
            assert not module.bias.any(), name
        elif isinstance(module, nn.Conv2d) and ".scale_heads." in name:
            fan_out = module.out_channels * 9
            expected = math.sqrt(2 / fan_out)
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
    for name, parameter in parameters.items():
        if name.endswith("gamma"):
            assert not parameter.any(), name
        if name.endswith("relative_position_bias_table"):
            assert parameter.std().item() == pytest.approx(0.02, rel=0.15), name
    classifier = model.decode_head.conv_seg
    assert classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not classifier.bias.any()
    # torch's default for a convolution: uniform within 1/sqrt(fan in), for weight and bias
    patch_embedding = model.backbone.patch_embed.proj
    for parameter in (patch_embedding.weight, patch_embedding.bias):
        assert 0.8 / math.sqrt(48) < parameter.abs().max().item() <= 1 / math.sqrt(48)


def test_seed_decides_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(build("nano", 2).parameters())

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_settings_may_be_lists_as_yaml_gives_them():
    model = build(
        "nano",
        5,
        embed=16,
        depths=[1, 1, 1, 1],
        heads=[1, 2, 4, 8],
        window=4,
        sem_window=5,
        semantic_attention=["windowed", "windowed", "global", "global"],
    )

    main, semantic = model(torch.zeros(1, 3, 40, 40))

    assert main.shape == semantic.shape == (1, 5, 10, 10)


@pytest.mark.parametrize(
    ("gelu", "expected"),
    [
        (None, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("exact", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("fast", lambda x: x / (1 + math.exp(-1.702 * x))),
    ],
)
def test_gelu_of_every_block(gelu, expected):
    model = build("nano", 19, **({} if gelu is None else {"gelu": gelu})).double()
    x = torch.linspace(-6, 6, 49, dtype=torch.float64, requires_grad=True)
    blocks = [m for n, m in model.named_modules() if n.endswith(".mlp")]
    assert len(blocks) == 8

    for mlp in blocks:
        y = mlp.act(x)
        assert y.tolist() == pytest.approx([expected(v) for v in x.tolist()], abs=1e-12)
        (slope,) = torch.autograd.grad(y[30], x)
        assert slope[30].item() == pytest.approx(
            (expected(x[30].item() + 1e-6) - expected(x[30].item() - 1e-6)) / 2e-6, rel=1e-6
        )


def test_fast_gelu_changes_the_outputs_and_nothing_else():
    models = [build("nano", 19, gelu=gelu).eval() for gelu in ("exact", "fast")]
    models[1].load_state_dict(models[0].state_dict())
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    # freshly initialised MLPs are nearly silent
    for model in models:
        for name, parameter in model.named_parameters():
            if ".mlp.fc" in name and name.endswith("weight"):
                parameter.data.mul_(50)

    with torch.inference_mode():
        exact, fast = (model(images) for model in models)

    assert 0 < (exact - fast).abs().max() < 0.5 * exact.abs().max()


@pytest.mark.parametrize(
    ("arguments", "named", "allowed"),
    [
        ({"variant": "huge"}, "'huge'", "nano, tiny, small, base, large"),
        ({"variant": ["nano"]}, "['nano']", "nano, tiny, small, base, large"),
        ({"depth": 3}, "'depth'", "depths"),
        ({"num_classes": 0}, "num_classes is 0", "1 to 255"),
        ({"num_classes": -3}, "num_classes is -3", "1 to 255"),
        ({"num_classes": 256}, "num_classes is 256", "1 to 255"),
        ({"num_classes": 19.0}, "num_classes is 19.0", "1 to 255"),
        ({"num_classes": True}, "num_classes is True", "1 to 255"),
        ({"embed": 0}, "embed is 0", "positive integer"),
        ({"window": "7"}, "window is '7'", "positive integer"),
        ({"sem_window": -1}, "sem_window is -1", "positive integer"),
        ({"depths": (2, 2, 2)}, "depths is (2, 2, 2)", "4 positive integers"),
        ({"depths": 2}, "depths is 2", "4 positive integers"),
        ({"heads": (2, 4, 8, 0)}, "heads is (2, 4, 8, 0)", "4 positive integers"),
        ({"heads": (2, 5, 8, 16)}, "heads is (2, 5, 8, 16)", "stage 2 are 64"),
        ({"semantic_attention": "local"}, "semantic_attention is 'local'", "windowed, global"),
        ({"semantic_attention": ["global"]}, "semantic_attention", "list of 4"),
        ({"semantic_attention": None}, "semantic_attention is None", "list of 4"),
        ({"semantic_attention": [["global"]] * 4}, "semantic_attention", "list of 4"),
        ({"drop_path": 1}, "drop_path is 1", "below 1"),
        ({"dropout": -0.1}, "dropout is -0.1", "below 1"),
        ({"dropout": float("nan")}, "dropout is nan", "below 1"),
        ({"semantic_dropout": "0.1"}, "semantic_dropout is '0.1'", "below 1"),
        ({"norm": "gn"}, "norm is 'gn'", "bn, syncbn"),
        ({"norm": ["bn"]}, "norm is ['bn']", "bn, syncbn"),
        ({"fused_attention": 1}, "fused_attention is 1", "true or false"),
        ({"gelu": "relu"}, "gelu is 'relu'", "exact, tanh, fast"),
        ({"gelu": True}, "gelu is True", "exact, tanh, fast"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(arguments, named, allowed):
    with pytest.raises(InputError) as error:
        build(**{"variant": "nano", "num_classes": 19, **arguments})

    message = str(error.value)
    assert named in message
    assert allowed in message
    assert "\n" not in message
