from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.parallel import DistributedDataParallel

from semask.devices import computing
from semask.model import build, segmentation_losses, semantic


@lru_cache
def small_model(**overrides):
    """A narrow model with random weights, semantic attention switched on, in evaluation mode.

    In float64, so that equality can be told from likeness.
    """
    torch.manual_seed(0)
    model = build("nano", 3, embed=16, heads=(1, 2, 4, 8), **overrides).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.7)
            elif name.endswith("weight") and parameter.ndim > 1:
                parameter.mul_(5)
    return model


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def double_images(*shape):
    return images(*shape).double()


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 80), width=st.integers(1, 80), fused=st.booleans())
def test_any_size_gives_logits_at_a_quarter_rounded_up(height, width, fused):
    x = double_images(1, 3, height, width)

    with torch.no_grad():
        main, semantic = small_model(fused_attention=fused).logits(x)

    assert main.shape == semantic.shape == (1, 3, -(-height // 4), -(-width // 4))
    assert main.isfinite().all()
    assert semantic.isfinite().all()


@settings(deadline=None, max_examples=15)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_samples_of_a_batch_do_not_mix(height, width):
    x = double_images(2, 3, height, width)
    model = small_model()

    with torch.no_grad():
        together = model(x)
        apart = torch.cat([model(x[:1]), model(x[1:])])

    torch.testing.assert_close(together, apart, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_images_are_extended_with_zeros_at_right_and_bottom(height, width):
    x = double_images(1, 3, height, width)

    with torch.no_grad():
        bare, extended = small_model()(x), small_model()(F.pad(x, (0, -width % 4, 0, -height % 4)))

    assert torch.equal(bare, extended)


def test_fused_attention_equals_plain_attention():
    x = double_images(2, 3, 50, 70)

    with torch.no_grad():
        plain, fused = small_model()(x), small_model(fused_attention=True)(x)

    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("stage", range(4))
def test_global_attention_is_windowed_attention_with_one_exact_window(stage):
    window = 3
    kinds = ["windowed"] * 4
    kinds[stage] = "global"
    over_the_map = small_model(sem_window=window, semantic_attention=tuple(kinds))
    in_windows = small_model(sem_window=window)
    exact = window * 4 * 2**stage

    with torch.no_grad():
        x = double_images(1, 3, exact, exact)
        torch.testing.assert_close(over_the_map(x), in_windows(x), rtol=0, atol=1e-9)
        x = double_images(1, 3, exact + 4 * 2**stage, exact)
        assert (over_the_map(x) - in_windows(x)).abs().max() > 1e-3


@pytest.mark.parametrize("most", [1, 60, 500])
def test_attention_in_parts_is_attention_at_once(most, monkeypatch):
    model = small_model(
        sem_window=3, semantic_attention=("windowed", "windowed", "global", "global")
    )
    x = double_images(2, 3, 75, 101)
    with torch.no_grad():
        at_once = model.logits(x)
        monkeypatch.setattr(semantic, "_MOST_SCORES", most)
        in_parts = model.logits(x)
    torch.testing.assert_close(in_parts, at_once, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("num_classes", "overrides"),
    [
        (19, {"window": 12}),
        (150, {"semantic_attention": ("windowed", "windowed", "global", "global")}),
        (1, {"window": 1}),
        (255, {"window": 2, "sem_window": 12}),
        (171, {"semantic_attention": "global"}),
    ],
)
def test_other_windows_and_class_counts(num_classes, overrides):
    model = build("nano", num_classes, **overrides).eval()

    with torch.no_grad():
        main, semantic = model.logits(images(1, 3, 75, 101))

    assert main.shape == semantic.shape == (1, num_classes, 19, 26)
    assert main.isfinite().all()


def test_training_gives_both_logits_and_evaluation_the_main_ones():
    model = build("nano", 4, drop_path=0, dropout=0, semantic_dropout=0)
    x = images(2, 3, 32, 32)

    model.train()
    with torch.no_grad():
        assert [logits.shape for logits in model(x)] == [(2, 4, 8, 8)] * 2
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(x), model.logits(x)[0])


def test_the_decoder_drops_channels_and_semantic_attention_single_values():
    torch.manual_seed(0)
    model = build("nano", 4, dropout=0.5, semantic_dropout=0.5, drop_path=0).train()
    seen = {}
    for name, module in {"channels": model.decode_head.dropout,
                         "values": model.backbone.layers[0].semantic_layer.class_injection[0].drop,
                         }.items():  # fmt: skip
        module.register_forward_hook(
            lambda _, given, found, of=name: seen.update({of: (*given, found)})
        )
    model(images(2, 3, 64, 64))

    given, found = (x.flatten(2) for x in seen["channels"])
    kept = (found == 2 * given).all(2)
    assert (kept | (found == 0).all(2)).all()
    assert 0.3 < kept.float().mean() < 0.7
    given, found = seen["values"]
    kept = found == 2 * given
    assert (kept | (found == 0)).all()
    assert 0.4 < kept.float().mean() < 0.6
    assert not kept.all(dim=(0, 1)).any()
    assert kept.any(dim=(0, 1)).all()


def test_dropout_and_drop_path_act_in_training_only():
    x = images(2, 3, 32, 32)
    for name in ("drop_path", "dropout", "semantic_dropout"):
        off = {"drop_path": 0, "dropout": 0, "semantic_dropout": 0}
        model = build("nano", 4, **{**off, name: 0.5})
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if parameter_name.endswith("gamma"):
                    parameter.fill_(1)
            model.train()
            assert not torch.equal(model(x)[0], model(x)[0]), name
            model.eval()
            assert torch.equal(model(x), model(x)), name


def test_float64_stays_float64_and_bfloat16_gives_float32():
    x = images(1, 3, 40, 40)
    double = build("nano", 4).eval().double()
    half = build("nano", 4).eval().bfloat16()

    with torch.no_grad():
        assert double(x.double()).dtype == torch.float64
        assert half(x.bfloat16()).dtype == torch.float32


def test_mixed_norms_give_what_norms_in_float32_give_under_autocast(monkeypatch):
    torch.manual_seed(0)
    model = build("nano", 4, dropout=0, drop_path=0, semantic_dropout=0)
    seen, logits = [], {}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "bn":
            module.register_forward_hook(
                lambda _, inputs, output: seen.append((inputs[0].dtype, output.dtype))
            )
    for mixed, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(computing, "has_mixed_norm", lambda device, mixed=mixed: mixed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits[mixed], _ = model(images(2, 3, 72, 56))
        assert len(seen) > 4
        assert set(seen) == {(dtype, dtype)}
        seen.clear()
    assert torch.equal(logits[True], logits[False])


@pytest.mark.parametrize("fused", [False, True])
def test_autocast_to_bfloat16_trains(fused):
    torch.manual_seed(0)
    model = build("nano", 4, fused_attention=fused, drop_path=0, dropout=0, semantic_dropout=0)
    x, labels = images(2, 3, 72, 56), torch.randint(0, 4, (2, 72, 56))
    exact = segmentation_losses(*model(x), labels)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        main, semantic = model(x)
        losses = segmentation_losses(main, semantic, labels)
    losses.total.backward()

    assert main.dtype == semantic.dtype == losses.total.dtype == torch.float32
    assert losses.total.item() == pytest.approx(exact.total.item(), rel=0.02)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("fused", [False, True])
def test_training_follows_evaluation_in_inference_mode(fused):
    # The masks cached by the evaluation must be fit for the backward pass.
    model = build("nano", 4, fused_attention=fused)
    x = images(2, 3, 36, 100)

    with torch.inference_mode():
        model.eval()(x)
    main, _ = model.train()(x)
    main.sum().backward()


def test_channels_last_images_and_weights_give_the_same_logits():
    model = build("nano", 4).eval()
    x = images(1, 3, 40, 72)

    with torch.no_grad():
        plain = model(x)
        model = model.to(memory_format=torch.channels_last)
        channels_last = model(x.contiguous(memory_format=torch.channels_last))

    torch.testing.assert_close(channels_last, plain, rtol=1e-4, atol=1e-5)


def test_trains_under_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        replica = DistributedDataParallel(build("nano", 4))
        for _ in range(2):  # the second forward fails if a parameter of the first got no gradient
            main, semantic = replica(images(2, 3, 40, 40))
            losses = segmentation_losses(main, semantic, torch.zeros(2, 40, 40, dtype=torch.int64))
            losses.total.backward()
        assert replica.module.eval()(images(1, 3, 40, 40)).shape == (1, 4, 10, 10)
    finally:
        torch.distributed.destroy_process_group()
