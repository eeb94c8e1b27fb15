import pytest
import torch

from semask.errors import InputError
from semask.model import build, export_reference, load_pretrained_swin, load_reference


def clone(tensors):
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.fixture
def original(narrow_weights):
    """A whole original state dict: the recipe's weights and the derived tensors."""
    model = build("nano", 19)
    load_reference(model, narrow_weights)
    return clone(export_reference(model))


def test_export_then_load_is_exact(original):
    model = build("nano", 19)

    report = load_reference(model, original)

    assert report.missing == report.unused == report.interpolated == []
    assert set(report.loaded) == set(model.state_dict())
    exported = export_reference(model)
    assert exported.keys() == original.keys()
    assert all(torch.equal(exported[key], original[key]) for key in original)


@pytest.mark.parametrize("wrappers", [["state_dict"], ["model"], ["model", "state_dict"]])
def test_wrapped_state_dicts(original, wrappers):
    file = original
    for wrapper in wrappers:
        file = {"meta": {"epoch": 3}, wrapper: file}
    model = build("nano", 19)

    report = load_reference(model, file)

    assert report.missing == report.unused == []
    assert torch.equal(model.decode_head.conv_seg.bias, original["decode_head.conv_seg.bias"])


def test_missing_and_unused_names_are_reported(original):
    del original["backbone.norm0.weight"], original["decode_head.conv_seg.bias"]
    original["auxiliary_head.conv_seg.weight"] = torch.zeros(3)
    original["backbone.layers.0.blocks.1.attn_mask"] = torch.zeros(4, 49, 49)  # derived
    model = build("nano", 19)

    report = load_reference(model, original)

    assert report.missing == ["backbone.norm0.weight", "decode_head.conv_seg.bias"]
    assert report.unused == ["auxiliary_head.conv_seg.weight"]
    assert (model.backbone.norm0.weight == 1).all()


def test_another_class_count_is_reported_by_key_and_shapes(original):
    model = build("nano", 150)
    before = clone(model.state_dict())

    with pytest.raises(InputError) as error:
        load_reference(model, original)

    lines = str(error.value).splitlines()
    assert len(lines) == 18  # weight and bias of q and k in four stages, and of the classifier
    assert any(
        "decode_head.conv_seg.weight" in line
        and "(19, 256, 1, 1)" in line
        and "(150, 256, 1, 1)" in line
        for line in lines
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("file", [{}, {"epoch": 3}, {"encoder.weight": torch.zeros(2)}])
def test_a_file_that_matches_nothing_is_an_error(file):
    with pytest.raises(InputError, match=r"none of the file's \d names") as error:
        load_reference(build("nano", 19), file)

    assert "\n" not in str(error.value)


def test_bias_tables_are_interpolated_as_recorded(original, bias_tables):
    key = "backbone.layers.1.blocks.0.attn.relative_position_bias_table"
    original[key] = torch.from_numpy(bias_tables["src"])
    model = build("nano", 19, window=12)

    report = load_reference(model, original)

    assert key in report.interpolated
    assert len(report.interpolated) == 8
    assert report.missing == report.unused == []
    interpolated = model.state_dict()[key]
    torch.testing.assert_close(
        interpolated, torch.from_numpy(bias_tables["dst"]), rtol=1e-5, atol=1e-5
    )


def test_a_bias_table_of_other_heads_is_a_mismatch(original):
    key = "backbone.layers.1.blocks.0.attn.relative_position_bias_table"
    original[key] = torch.zeros(23**2, 3)

    with pytest.raises(InputError, match=r"\(529, 3\).*\(169, 4\)"):
        load_reference(build("nano", 19), original)


def test_pretrained_swin_fills_the_backbone_and_reports_the_rest(original):
    swin = {
        key.removeprefix("backbone."): value
        for key, value in original.items()
        if key.startswith(("backbone.patch_embed.", "backbone.layers."))
        and ".semantic_layer." not in key
    }
    classifier = {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    swin.update({key: torch.zeros(5) for key in classifier})
    model = build("nano", 19)

    report = load_pretrained_swin(model, {"model": swin})

    assert set(report.unused) == classifier
    assert not any(".blocks." in name or "patch_embed" in name for name in report.missing)
    assert "backbone.layers.0.semantic_layer.norm1.weight" in report.missing
    assert "backbone.norm3.bias" in report.missing
    key = "layers.2.downsample.reduction.weight"
    assert torch.equal(model.backbone.state_dict()[key], swin[key])


def test_pretrained_swin_refuses_a_whole_segmentor(original):
    with pytest.raises(InputError, match=r"such as patch_embed\.proj\.weight"):
        load_pretrained_swin(build("nano", 19), original)


def test_weights_are_cast_to_the_model(original):
    model = build("nano", 19).double()

    load_reference(model, original)

    assert {p.dtype for p in model.parameters()} == {torch.float64}
