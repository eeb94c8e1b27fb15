import pytest
import torch

from semask.base.errors import InputError
from semask.model import build, export_reference, load_pretrained_swin, load_reference

from timm.models.swin_transformer import SwinTransformer, checkpoint_filter_fn  # isort: skip


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


def refused(load, model, file):
    """The lines of the error; the model must be as it was."""
    before = clone(model.state_dict())
    with pytest.raises(InputError) as error:
        load(model, file)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    return str(error.value).splitlines()


@pytest.mark.parametrize("name", ["backbone.norm0.weight", "decode_head.conv_seg.bias"])
def test_a_missing_name_is_refused(original, name):
    del original[name]

    [line] = refused(load_reference, build("nano", 19), original)

    assert f"1 missing in the file ({name})" in line
    assert "the sizes agree" in line


def test_an_unknown_name_is_refused(original):
    original["auxiliary_head.conv_seg.weight"] = torch.zeros(3)

    [line] = refused(load_reference, build("nano", 19), original)

    assert "1 unknown to the model (auxiliary_head.conv_seg.weight)" in line


def test_what_is_no_tensor_is_refused(original):
    original["backbone.norm0.weight"] = [1.0] * 32

    [line] = refused(load_reference, build("nano", 19), original)

    assert "1 missing in the file (backbone.norm0.weight)" in line
    assert "1 unknown to the model (backbone.norm0.weight)" in line


def test_derived_tensors_and_counters_may_be_there_or_not(original):
    original["backbone.layers.0.blocks.1.attn_mask"] = torch.zeros(4, 49, 49)
    counters = {name for name in original if name.endswith("num_batches_tracked")}
    for name in [n for n in original if n in counters or n.endswith("relative_position_index")]:
        del original[name]

    report = load_reference(build("nano", 19), original)

    assert set(report.missing) == counters
    assert report.unused == []


def test_another_class_count_is_one_plain_line(original):
    [line] = refused(load_reference, build("nano", 150), original)

    assert "for 19 classes in its semantic layers and 19 in its decoder, the model for 150" in line
    assert "num_classes" in line


def test_a_decoder_of_more_classes_than_the_semantic_layers(original):
    original["decode_head.conv_seg.weight"] = torch.zeros(21, 256, 1, 1)
    original["decode_head.conv_seg.bias"] = torch.zeros(21)

    for classes in (19, 21):
        [line] = refused(load_reference, build("nano", classes), original)
        assert (
            f"19 classes in its semantic layers and 21 in its decoder, the model for {classes}"
            in (line)
        )
        assert "no num_classes fits such a file" in line


def test_another_size_and_class_count_are_both_told(original):
    model = build("nano", 5, embed=16, depths=(2, 2, 3, 2), heads=(1, 2, 4, 8))

    classes, size = refused(load_reference, model, original)

    assert "19 classes in its semantic layers" in classes
    assert "(backbone.layers.2.blocks.2.norm1.weight, " in size
    assert "backbone.patch_embed.proj.weight (32, 3, 4, 4) instead of (16, 3, 4, 4)" in size
    assert "more)" in size
    assert "the file has embed 32, depths 2-2-2-2, heads 2-4-8-16, window 7" in size
    assert "the model embed 16, depths 2-2-3-2, heads 1-2-4-8, window 7" in size


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

    [line] = refused(load_reference, build("nano", 19), original)

    assert f"{key} (529, 3) instead of (169, 4)" in line
    assert "heads 2-3-8-16, window 7 or 12" in line


CLASSIFIER = {"norm.weight", "norm.bias", "head.weight", "head.bias"}


@pytest.fixture
def swin(original):
    """A state dict of the original image classifier, of the nano model's trunk."""
    trunk = {
        key.removeprefix("backbone."): value
        for key, value in original.items()
        if key.startswith(("backbone.patch_embed.", "backbone.layers."))
        and ".semantic_layer." not in key
    }
    return {**trunk, **{key: torch.zeros(5) for key in CLASSIFIER}}


def test_pretrained_swin_fills_the_trunk_and_reports_the_rest(swin):
    model = build("nano", 19)

    report = load_pretrained_swin(model, {"model": swin})

    assert set(report.unused) == CLASSIFIER
    trunk = {f"backbone.{n}" for n in swin if n not in CLASSIFIER and "position_index" not in n}
    assert set(report.loaded) == trunk
    assert set(report.missing) == set(model.state_dict()) - trunk
    assert report.interpolated == []
    state = model.backbone.state_dict()
    assert all(torch.equal(state[n.removeprefix("backbone.")], swin[n[9:]]) for n in trunk)


def test_timm_names_give_the_same_model(swin):
    timm = SwinTransformer(
        img_size=224, embed_dim=32, depths=(2, 2, 2, 2), num_heads=(2, 4, 8, 16), num_classes=5
    )
    # timm's own conversion from the original names
    timm.load_state_dict(
        checkpoint_filter_fn(
            {**swin, "head.weight": torch.zeros(5, 256), "norm.weight": torch.zeros(256),
             "norm.bias": torch.zeros(256)}, timm,
        )
    )  # fmt: skip
    first, second = build("nano", 19), build("nano", 19)
    second.load_state_dict(first.state_dict())

    load_pretrained_swin(first, swin)
    report = load_pretrained_swin(second, timm.state_dict())

    assert "layers.3.downsample.norm.weight" in timm.state_dict()
    assert set(report.unused) == {"norm.weight", "norm.bias", "head.fc.weight", "head.fc.bias"}
    others = second.state_dict()
    assert all(torch.equal(value, others[name]) for name, value in first.state_dict().items())


def test_a_headless_swin_is_enough(swin):
    report = load_pretrained_swin(
        build("nano", 19), {n: t for n, t in swin.items() if n not in CLASSIFIER}
    )
    assert report.unused == []


def test_pretrained_bias_tables_are_interpolated(swin):
    model = build("nano", 19, window=12)

    report = load_pretrained_swin(model, swin)

    assert len(report.interpolated) == 8
    semantic, norms, decoder = 4 * 11, 4 * 2, 7 * 6 + 2
    assert report.summary() == (
        f"{4 + 8 * 13 + 3 * 3} tensors loaded, 8 of them interpolated; "
        f"{semantic + norms + decoder} of the model not in the file, 4 of the file not used"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depths": (2, 2, 4, 2)}, ["missing in the file (layers.2.blocks.2.norm1.weight",
                                    "file has embed 32, depths 2-2-2-2", "depths 2-2-4-2"]),
        ({"depths": (2, 2, 1, 2)}, ["unknown to the model (layers.2.blocks.1.norm1.weight",
                                    "file has embed 32, depths 2-2-2-2", "depths 2-2-1-2"]),
        ({"embed": 64}, ["patch_embed.proj.weight (32, 3, 4, 4) instead of (64, 3, 4, 4)"]),
        ({"heads": (4, 4, 8, 16), "window": 12},
         ["2 of another shape (layers.0.blocks.0.attn.relative_position_bias_table (169, 2) "
          "instead of (529, 4)", "heads 2-4-8-16, window 7, the model embed 32, ",
          "heads 4-4-8-16, window 12"]),
    ],
)  # fmt: skip
def test_pretrained_swin_of_another_size_is_refused(swin, change, says):
    [line] = refused(load_pretrained_swin, build("nano", 19, **change), swin)

    assert all(part in line for part in says), line


@pytest.mark.parametrize("naming", ["original", "timm"])
def test_half_a_pretrained_swin_is_refused(swin, naming):
    if naming == "timm":
        model = SwinTransformer(embed_dim=32, depths=(2, 2, 2, 2), num_heads=(2, 4, 8, 16))
        swin = model.state_dict()
    half = {n: t for n, t in swin.items() if not n.startswith(("layers.2", "layers.3"))}

    [line] = refused(load_pretrained_swin, build("nano", 19), half)

    assert "the file has embed 32, depths 2-2, heads 2-4, window 7" in line


@pytest.mark.parametrize("name", ["absolute_pos_embed", "layers.0.semantic_layer.norm1.bias"])
def test_what_no_swin_has_is_refused(swin, name):
    swin[name] = torch.zeros(32)

    [line] = refused(load_pretrained_swin, build("nano", 19), swin)

    assert f"1 unknown to the model ({name})" in line


@pytest.mark.parametrize(("file", "model"), [("small", "tiny"), ("tiny", "small")])
def test_tiny_and_small_are_told_apart(file, model):
    """By depth alone: all that they share has the same names and shapes."""
    with torch.device("meta"):
        trunk = {
            name.removeprefix("backbone."): tensor
            for name, tensor in build(file, 19).state_dict().items()
            if name.startswith(("backbone.patch_embed.", "backbone.layers."))
            and ".semantic_layer." not in name
        }
        with pytest.raises(InputError) as error:
            load_pretrained_swin(build(model, 19), trunk)

    depths = {"tiny": "2-2-6-2", "small": "2-2-18-2"}
    assert f"the file has embed 96, depths {depths[file]}, " in str(error.value)
    assert f"the model embed 96, depths {depths[model]}, " in str(error.value)


def test_pretrained_swin_refuses_a_whole_segmentor(original):
    with pytest.raises(
        InputError, match=r"such as patch_embed\.proj\.weight; its own are such as b"
    ):
        load_pretrained_swin(build("nano", 19), original)


def test_weights_are_cast_to_the_model(original):
    model = build("nano", 19).double()

    load_reference(model, original)

    assert {p.dtype for p in model.parameters()} == {torch.float64}


@pytest.mark.parametrize("name", ["tiny_c19", "small_c19", "base_c19", "large_c19"])
def test_original_names_and_shapes_fill_every_variant(keys, name):
    variant, classes = name.split("_c")
    with torch.device("meta"):
        model = build(variant, int(classes))
        file = {
            key: torch.empty(shape, dtype=getattr(torch, dtype))
            for key, (shape, dtype) in keys(name)["state_dict"].items()
        }

    report = load_reference(model, {"state_dict": file, "meta": {}, "optimizer": {}})

    assert report.missing == report.unused == report.interpolated == []
    assert set(report.loaded) == set(model.state_dict())


def test_weights_that_are_no_numbers_are_refused() -> None:
    model = build("nano", 19)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["decode_head.conv_seg.bias"][3] = float("nan")
    with pytest.raises(InputError, match=r"1 tensors hold NaN .*decode_head\.conv_seg\.bias"):
        load_reference(model, state)
    assert model.decode_head.conv_seg.bias.isfinite().all()
