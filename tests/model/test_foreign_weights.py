"""Weights as other libraries save them: the features are those of the library's own model."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from semask.base.errors import InputError
from semask.model import SeMaskFPN, build, export_reference, load_pretrained_swin, load_reference

from timm.models.swin_transformer import SwinTransformer  # isort: skip

Weights = dict[str, Tensor]
LINE_TIMM = "from the names of timm"
LINE_MM = (
    "from the names of mmpretrain and mmsegmentation, the channels of downsampling put into the "
    "original's order"
)
LINE_HF = "from the names of Hugging Face's transformers, query, key and value joined"


@pytest.fixture(scope="module")
def timm_swin() -> SwinTransformer:
    """Of the nano model's size, with random numbers everywhere.

    Its smallest map is larger than a window: on one that is not, timm's Swin does not shift, and
    SeMask, as segmentors do, shifts nevertheless.
    """
    torch.manual_seed(3)
    swin = SwinTransformer(
        img_size=448, embed_dim=32, depths=(2, 2, 2, 2), num_heads=(2, 4, 8, 16), num_classes=5
    )
    with torch.no_grad():
        for parameter in swin.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return swin.eval()


@pytest.fixture(scope="module")
def weights(timm_swin: SwinTransformer) -> Weights:
    return {name: tensor.clone() for name, tensor in timm_swin.state_dict().items()}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(1, 3, 448, 448, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def expected(timm_swin: SwinTransformer, images: Tensor) -> list[Tensor]:
    """What the library's model has at the end of each stage, (1, h, w, C)."""
    found, x = [], timm_swin.patch_embed(images)
    with torch.no_grad():
        for stage in timm_swin.layers:
            x = stage(x)
            found.append(x)
    return found


class Nothing(nn.Module):
    window = None

    def forward(self, x: Tensor, _: None) -> tuple[Tensor, Tensor]:
        return x, x


def features(model: SeMaskFPN, images: Tensor) -> list[Tensor]:
    """What the trunk alone has at the end of each stage, (1, h, w, C)."""
    found, x = [], model.backbone.patch_embed(images)
    with torch.no_grad():
        for stage in model.eval().backbone.layers:
            stage.semantic_layer = Nothing()
            feature, _, x = stage(x)
            found.append(feature)
    return found


def rewritten(weights: Weights, *rules: tuple[str, str]) -> Weights:
    made = {}
    for name, tensor in weights.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        made[name] = tensor
    return made


def one_stage_earlier(weights: Weights) -> Weights:
    """timm's merging is where a stage begins, all others' where one ends."""
    return {
        re.sub(r"^layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", n): t
        for n, t in weights.items()
    }


def of_timm(weights: Weights) -> Weights:
    return weights


def of_timm_features(weights: Weights) -> Weights:
    """As `create_model(..., features_only=True)` names them."""
    trunk = {n: t for n, t in weights.items() if n.startswith(("patch_embed.", "layers."))}
    return rewritten(trunk, (r"^layers\.(\d)", r"layers_\1"))


def of_the_original(weights: Weights) -> Weights:
    return rewritten(one_stage_earlier(weights), (r"^head\.fc\.", "head."))


def in_unfolds_order(tensor: Tensor) -> Tensor:
    """Of 2 x 2 patches as mmcv has them: for each channel its rows, in each row its columns."""
    channels = tensor.shape[-1] // 4
    made = torch.empty_like(tensor)
    for channel in range(channels):
        for row in range(2):
            for column in range(2):
                there = channel * 4 + row * 2 + column
                made[..., there] = tensor[..., (column * 2 + row) * channels + channel]
    return made


def of_mmpretrain(weights: Weights) -> Weights:
    """Every name as mmpretrain 1.2 has it."""
    named = rewritten(
        one_stage_earlier(weights),
        (r"^head\.fc\.", "HEAD."),
        (r"^norm\.", "norm3."),
        (r"^patch_embed\.proj\.", "patch_embed.projection."),
        (r"^layers\.", "stages."),
        (r"\.attn\.", ".attn.w_msa."),
        (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
        (r"\.mlp\.fc2\.", ".ffn.layers.1."),
    )
    named = {n: in_unfolds_order(t) if ".downsample." in n else t for n, t in named.items()}
    named["stages.0.blocks.0.attn.w_msa.relative_position_index"] = torch.zeros(49, 49)
    return rewritten(named, (r"^", "backbone."), (r"^backbone\.HEAD", "head.fc"))


def of_mmsegmentation(weights: Weights) -> Weights:
    """A segmentor's, of which the Swin is the backbone."""
    backbone = {n: t for n, t in of_mmpretrain(weights).items() if not n.startswith("head.")}
    heads = ("decode_head.conv_seg.weight", "auxiliary_head.convs.0.bn.bias")
    return {**backbone, **dict.fromkeys(heads, torch.zeros(3))}


HUGGING_FACE = (
    (r"^norm\.", "swin.layernorm."),
    (r"^head\.fc\.", "classifier."),
    (r"^patch_embed\.proj\.", "swin.embeddings.patch_embeddings.projection."),
    (r"^patch_embed\.", "swin.embeddings."),
    (r"^layers\.", "swin.encoder.layers."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
)
BEFORE_5 = (
    (r"\.attn\.(query|key|value|relative)", r".attention.self.\1"),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
SINCE_5 = (
    (r"\.attn\.(q)uery|\.attn\.(k)ey|\.attn\.(v)alue", r".attention.\1\2\3_proj"),
    (r"\.attn\.relative", ".attention.relative_position_bias.relative"),
    (r"\.attn\.proj\.", ".attention.o_proj."),
)


def apart(weights: Weights) -> Weights:
    made: Weights = {}
    for name, tensor in one_stage_earlier(weights).items():
        if ".qkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                made[name.replace("qkv", part)] = third
        else:
            made[name] = tensor
    return made


def of_hugging_face(weights: Weights) -> Weights:
    return rewritten(apart(weights), *HUGGING_FACE, *BEFORE_5)


def of_hugging_face_5(weights: Weights) -> Weights:
    return rewritten(apart(weights), *HUGGING_FACE, *SINCE_5)


NORM, HEAD = ("norm.weight", "norm.bias"), ("head.fc.weight", "head.fc.bias")
LIBRARIES: dict[str, tuple[Callable[[Weights], Weights], list[str], set[str]]] = {
    "timm": (of_timm, [LINE_TIMM], {*NORM, *HEAD}),
    "timm, features only": (of_timm_features, [LINE_TIMM], set()),
    "original": (of_the_original, [], {*NORM, "head.weight", "head.bias"}),
    "mmpretrain": (
        of_mmpretrain,
        ["without the beginning 'backbone.' of its names", LINE_MM],
        {"backbone.norm3.weight", "backbone.norm3.bias", *HEAD},
    ),
    "mmsegmentation": (
        of_mmsegmentation,
        ["without the beginning 'backbone.' of its names", LINE_MM],
        {"backbone.norm3.weight", "backbone.norm3.bias", "decode_head.conv_seg.weight",
         "auxiliary_head.convs.0.bn.bias"},
    ),
    "Hugging Face": (
        of_hugging_face,
        ["without the beginning 'swin.' of its names", LINE_HF],
        {"swin.layernorm.weight", "swin.layernorm.bias", "classifier.weight", "classifier.bias"},
    ),
    "Hugging Face 5": (
        of_hugging_face_5,
        ["without the beginning 'swin.' of its names", LINE_HF],
        {"swin.layernorm.weight", "swin.layernorm.bias", "classifier.weight", "classifier.bias"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("library", LIBRARIES)
def test_features_are_those_of_the_librarys_model(
    weights: Weights, images: Tensor, expected: list[Tensor], library: str
) -> None:
    named, lines, unused = LIBRARIES[library]
    model = build("nano", 19)

    report = load_pretrained_swin(model, named(weights))

    for found, wanted in zip(features(model, images), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert report.converted == lines
    assert set(report.unused) == unused
    assert len(report.loaded) == 4 + 8 * 13 + 3 * 3
    assert report.summary().endswith("".join(f"; {line}" for line in lines) or "not used")


@pytest.mark.slow
@pytest.mark.parametrize("whole", ["SwinForImageClassification", "UperNetForSemanticSegmentation"])
def test_features_are_those_of_a_model_of_transformers(
    weights: Weights, images: Tensor, tmp_path: Path, whole: str
) -> None:
    """Under the names of its state dict, and under those of its files, which are the older ones."""
    import transformers  # after semask: it imports torchvision, too

    swin = {"embed_dim": 32, "depths": [2, 2, 2, 2], "num_heads": [2, 4, 8, 16]}
    config = transformers.SwinConfig(image_size=448, **swin, num_labels=5)
    if whole == "UperNetForSemanticSegmentation":
        stages = ["stage1", "stage2", "stage3", "stage4"]
        parts = transformers.SwinConfig(**swin, out_features=stages)
        config = transformers.UperNetConfig(backbone_config=parts, hidden_size=16)
    torch.manual_seed(4)
    theirs = getattr(transformers, whole)(config).eval()
    expected: list[Tensor] = []
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
        for module, layer in theirs.double().named_modules():
            if re.search(r"encoder\.layers\.\d\.blocks\.1$", module):
                layer.register_forward_hook(lambda _, __, output: expected.append(output[0]))
        theirs(images.double())
    theirs.float().save_pretrained(tmp_path)
    files = {"since 5": theirs.state_dict(), "before": load_file(tmp_path / "model.safetensors")}

    for file in files.values():
        model = build("nano", 19)
        report = load_pretrained_swin(model, file)
        assert report.converted[-1] == LINE_HF
        for found, wanted in zip(features(model.double(), images.double()), expected, strict=True):
            torch.testing.assert_close(found.flatten(1, 2), wanted, rtol=1e-9, atol=1e-9)

    if whole == "SwinForImageClassification":
        assert files["since 5"].keys() == of_hugging_face_5(weights).keys()
        assert files["before"].keys() == of_hugging_face(weights).keys()


def test_merging_by_unfolding_is_what_mmpretrain_does(timm_swin: SwinTransformer) -> None:
    """The order that `in_unfolds_order` makes is torch's own."""
    merging, x = timm_swin.layers[1].downsample, torch.randn(1, 8, 8, 32)
    norm = nn.functional.layer_norm(
        nn.functional.unfold(x.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2),
        (128,),
        in_unfolds_order(merging.norm.weight),
        in_unfolds_order(merging.norm.bias),
    )
    found = norm @ in_unfolds_order(merging.reduction.weight).T
    torch.testing.assert_close(found.view(1, 4, 4, 64), merging(x), rtol=1e-4, atol=1e-5)


PREFIXES = ["module.", "backbone.", "encoder.", "model.", "module.backbone.", "model.encoder."]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("library", ["original", "timm", "Hugging Face"])
def test_beginnings_of_names(weights: Weights, library: str, prefix: str) -> None:
    named = LIBRARIES[library][0](weights)
    named = {name.removeprefix("swin."): tensor for name, tensor in named.items()}
    plain, model = build("nano", 19), build("nano", 19)
    model.load_state_dict(plain.state_dict())
    load_pretrained_swin(plain, named)

    report = load_pretrained_swin(model, {prefix + name: t for name, t in named.items()})

    assert same(model, plain)
    assert report.converted[0] == f"without the beginning {prefix!r} of its names"
    assert all(name.startswith(prefix) for name in report.unused)


@pytest.mark.parametrize(
    "wrapper",
    ["state_dict", "model", "model_ema", "state_dict_ema", "ema_state_dict", "teacher"],
)
def test_wrappers(weights: Weights, wrapper: str) -> None:
    plain, model = build("nano", 19), build("nano", 19)
    model.load_state_dict(plain.state_dict())
    load_pretrained_swin(plain, weights)
    inner = {f"module.{name}": tensor for name, tensor in weights.items()}

    report = load_pretrained_swin(
        model, {"epoch": 3, wrapper: {**inner, "steps": torch.tensor(7)}, "optimizer": {}}
    )

    assert same(model, plain)
    assert report.converted == [
        f"from its {wrapper!r}", "without the beginning 'module.' of its names", LINE_TIMM
    ]  # fmt: skip
    assert "steps" in report.unused


def test_plain_weights_are_taken_where_averaged_ones_are_there_too(weights: Weights) -> None:
    plain, model = build("nano", 19), build("nano", 19)
    model.load_state_dict(plain.state_dict())
    load_pretrained_swin(plain, weights)
    averaged = {name: tensor + 1 for name, tensor in weights.items()}

    report = load_pretrained_swin(model, {"model_ema": averaged, "model": weights})

    assert same(model, plain)
    assert report.converted[0] == "from its 'model', not from 'model_ema'"


def same(one: SeMaskFPN, other: SeMaskFPN) -> bool:
    state = other.state_dict()
    return all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model."])
def test_a_whole_segmentor_behind_a_beginning(prefix: str) -> None:
    first, second = build("nano", 19), build("nano", 19)
    names = {prefix + name: tensor for name, tensor in export_reference(first).items()}

    report = load_reference(second, {"ema_state_dict": {**names, "steps": torch.tensor(3)}})

    assert same(second, first)
    assert report.converted == [
        "from its 'ema_state_dict'", f"without the beginning {prefix!r} of its names"
    ]  # fmt: skip
    assert report.unused == ["steps"]
    names[f"{prefix}auxiliary_head.bias"] = names["more"] = torch.zeros(3)
    refused(load_reference, names, ["2 unknown to the model (more, ", "auxiliary_head.bias"])


def refused(load: Callable[..., Any], file: Mapping[str, Any], says: list[str]) -> None:
    model = build("nano", 19)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        load(model, file)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    for part in says:
        assert part in str(error.value), error.value
    assert "\n" not in str(error.value)


def without(named: Weights, part: str) -> Weights:
    assert any(part in name for name in named)
    return {name: tensor for name, tensor in named.items() if part not in name}


def test_half_a_swin_is_refused_in_every_naming(weights: Weights) -> None:
    for named in (of_timm, of_mmpretrain, of_hugging_face, of_hugging_face_5):
        half = without(named(weights), "s.2.blocks.1.")
        refused(
            load_pretrained_swin,
            half,
            ["13 missing in the file (layers.2.blocks.1.norm1.weight", "depths 2-2-1-2"],
        )
    for named, key in ((of_hugging_face, "self.key"), (of_hugging_face_5, "k_proj")):
        file = without(named(weights), f"layers.1.blocks.0.attention.{key}.bias")
        refused(
            load_pretrained_swin,
            file,
            ["1 missing in the file (layers.1.blocks.0.attn.qkv.bias)", "2 unknown to the model"],
        )


def test_what_no_swin_has_is_refused_in_every_naming(weights: Weights) -> None:
    """Swin V2 has a scale of its logits, and other arithmetic behind the same names."""
    for named, name in (
        (of_mmpretrain, "backbone.stages.0.blocks.0.attn.w_msa.logit_scale"),
        (of_hugging_face, "swin.encoder.layers.0.blocks.0.attention.self.logit_scale"),
        (of_hugging_face, "teacher.weight"),
        (of_timm, "layers.0.blocks.0.attn.logit_scale"),
    ):
        file = {**named(weights), name: torch.zeros(2)}
        refused(load_pretrained_swin, file, [f"1 unknown to the model ({name})"])


def test_two_swins_in_one_file_are_refused(weights: Weights) -> None:
    both = {f"{prefix}{n}": t for prefix in ("backbone.", "module.") for n, t in weights.items()}
    refused(load_pretrained_swin, both, ["none of the file's"])


@pytest.mark.parametrize(
    "value", [torch.zeros(()), torch.ones(3, 8).to_sparse(), torch.zeros(3), None, 7]
)
def test_a_merging_that_is_none_is_refused(weights: Weights, value: Any) -> None:
    name = "backbone.stages.0.downsample.reduction.weight"
    refused(load_pretrained_swin, {**of_mmpretrain(weights), name: value}, ["downsample"])
