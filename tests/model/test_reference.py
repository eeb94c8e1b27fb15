"""The model equals the recorded outputs of the original implementation.

The tolerances are those at which a layer norm eps of 1e-6, a tanh GELU, a mask of -10, a last
stage without shift and a swapped merge order all fail.
"""

import hashlib
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from semask.model import build, load_reference, segmentation_losses


class Tolerance(NamedTuple):
    outputs: float
    gradients: float
    # of the largest gradient: what cancels to nearly nothing is as uncertain as what it is made of
    floor: float
    running: float


PRECISIONS = [
    pytest.param(torch.float64, Tolerance(2e-6, 1e-6, 1e-4, 1e-9), id="float64"),
    # kernels differ by processor: 2e-4 with those for AVX2, 7e-3 with those for AVX-512
    pytest.param(torch.float32, Tolerance(2e-5, 1e-2, 1e-3, 1e-5), id="float32"),
]
ATTENTION = pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])


@pytest.fixture
def narrow_model(narrow_weights):
    def make(dtype, fused):
        model = build("nano", 19, drop_path=0, dropout=0, semantic_dropout=0, fused_attention=fused)
        report = load_reference(model, narrow_weights)
        assert all(name.endswith("num_batches_tracked") for name in report.missing)
        assert report.unused == []
        return model.to(dtype)

    return make


@pytest.mark.parametrize("name", ["narrow_c19_2x128x160", "tiny_c150_1x128x160"])
def test_weight_recipe_is_the_recorded_one(keys, make_weights, name):
    digest = hashlib.sha256()
    for key, value in make_weights(keys(name)["state_dict"], seed=0).items():
        digest.update(key.encode() + value.numpy().tobytes())

    assert digest.hexdigest() == keys(name)["weights_sha256"]


@ATTENTION
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_evaluation_logits(narrow, narrow_model, narrow_images, dtype, tolerance, fused):
    model = narrow_model(dtype, fused).eval()
    stride = int(narrow["stride"])

    with torch.inference_mode():
        main, semantic = model.logits(narrow_images.to(dtype))
        prediction = F.interpolate(main, size=narrow_images.shape[-2:], mode="bilinear").argmax(1)

    for name, logits in {"main": main, "sem": semantic}.items():
        assert logits.shape == tuple(narrow[f"{name}_shape"])
        strided = logits[..., ::stride, ::stride].numpy()
        np.testing.assert_allclose(strided, narrow[name], rtol=0, atol=tolerance.outputs)
    assert np.array_equal(prediction[..., ::stride, ::stride].numpy(), narrow["pred"])


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_features_and_semantic_maps_of_each_stage(
    narrow, narrow_model, narrow_images, dtype, tolerance
):
    model = narrow_model(dtype, fused=False).eval()

    with torch.inference_mode():
        features, semantic_maps = model.backbone(narrow_images.to(dtype))

    for i in range(4):
        for name, map_ in {f"feat{i}": features[i], f"cls{i}": semantic_maps[i]}.items():
            assert map_.shape == tuple(narrow[f"{name}_shape"])
            l2 = map_.double().norm().item()
            assert l2 == pytest.approx(narrow[f"{name}_l2"], rel=tolerance.outputs)
            # A sum of n terms is as uncertain as sqrt(n) of them, or as their norm.
            slack = tolerance.outputs * l2
            assert map_.double().sum().item() == pytest.approx(narrow[f"{name}_sum"], abs=slack)


@ATTENTION
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_training_step(
    narrow, keys, narrow_model, narrow_images, narrow_labels, dtype, tolerance, fused
):
    model = narrow_model(dtype, fused).train()

    losses = segmentation_losses(*model(narrow_images.to(dtype)), narrow_labels)
    losses.total.backward()

    assert losses.ce.item() == pytest.approx(narrow["loss_ce"], abs=tolerance.outputs)
    assert losses.ce_semantic.item() == pytest.approx(narrow["loss_cate"], abs=tolerance.outputs)
    assert losses.acc_seg.item() == pytest.approx(narrow["acc_seg"], abs=1e-4)

    parameters = dict(model.named_parameters())
    names = keys("narrow_c19_2x128x160")["grad_names"]
    assert set(names) == set(parameters)
    gradients = [parameters[name].grad.double() for name in names]
    expected = narrow["grad_norm"]
    scale = expected + tolerance.floor * expected.max()
    norms = np.array([gradient.norm().item() for gradient in gradients])
    sums = np.array([gradient.sum().item() for gradient in gradients])
    assert (np.abs(norms - expected) / scale).max() < tolerance.gradients
    assert (np.abs(sums - narrow["grad_sum"]) / scale).max() < tolerance.gradients

    state = model.state_dict()
    running = np.array([state[key].double().norm().item() for key in narrow["bn_keys"]])
    np.testing.assert_allclose(running, narrow["bn_l2_after"], rtol=tolerance.running)
