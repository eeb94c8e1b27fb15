"""Two processes with half a batch each compute what one computes with the whole batch."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from semask.model import build, segmentation_losses
from semask.model.norm import SyncBatchNorm

from ..warm import warm_scripts

HERE = Path(__file__).parent
PROCESS = "sync_batch_norm_process"
NO_DROPOUT = {"drop_path": 0, "dropout": 0, "semantic_dropout": 0}
# Per case: dtype, offset of the input, samples of the first process (of 4), tolerance.
LAYERS = {
    "float64": (torch.float64, 0.0, 2, 1e-12),
    "unequal shares": (torch.float64, 0.0, 3, 1e-12),
    "float32": (torch.float32, 0.0, 2, 1e-5),
    "far from zero": (torch.float32, 1e3, 2, 2e-3),
    "bfloat16 input": (torch.bfloat16, 0.0, 2, 2e-2),
}


def normalise(norm, x, weights):
    """The outcome of one step of a layer, as the process script saves it."""
    norm.train()
    x = x.clone().requires_grad_()
    output = norm(x)
    (output * weights).sum().backward()
    return {
        "output": output.detach(),
        "grad_input": x.grad,
        "grad_weight": norm.weight.grad,
        "grad_bias": norm.bias.grad,
        **norm.state_dict(),
    }


def layer(dtype=torch.float32, kind=nn.BatchNorm2d):
    norm = kind(5).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 5))
        norm.bias.copy_(torch.linspace(-1, 1, 5))
        norm.running_mean.copy_(torch.linspace(-2, 3, 5))
    return norm


def batch(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x, weights = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return x.to(dtype), weights.to(dtype)


def layer_inputs(dtype, offset):
    x, weights = batch(4, 5, 6, 7, dtype=dtype)
    return x + offset, weights


def parameter_dtype(dtype):
    return torch.float32 if dtype == torch.bfloat16 else dtype


def model_inputs():
    x, _ = batch(4, 3, 40, 48, dtype=torch.float64)
    labels = torch.randint(0, 3, (4, 40, 48), generator=torch.Generator().manual_seed(0))
    labels[0, :20] = 255
    return x, labels


def initial_model():
    torch.manual_seed(0)
    return build("nano", 3, **NO_DROPOUT).double()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Runs every case in two processes at once; returns what each saved, by case."""
    cases = {}
    for name, (dtype, offset, first, _) in LAYERS.items():
        x, weights = layer_inputs(dtype, offset)
        norm = layer(parameter_dtype(dtype))
        inputs = [(x[half], weights[half]) for half in (slice(0, first), slice(first, 4))]
        cases[name] = {"state": norm.state_dict(), "dtype": norm.weight.dtype, "inputs": inputs}
    x, labels = model_inputs()
    cases["model"] = {"state": initial_model().state_dict(), "overrides": NO_DROPOUT}
    cases["model"]["inputs"] = [(x[:2], labels[:2]), (x[2:], labels[2:])]

    folder = tmp_path_factory.mktemp("processes")
    torch.save(cases, folder / "cases.pt")
    processes = [
        warm_scripts().start(PROCESS, [str(folder), str(rank)], HERE, environment=os.environ)
        for rank in range(2)
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", LAYERS)
def test_layer_equals_batch_norm_of_the_whole_batch(outcomes, case):
    dtype, offset, first, tolerance = LAYERS[case]
    whole = normalise(layer(parameter_dtype(dtype)), *layer_inputs(dtype, offset))
    results = [outcome[case] for outcome in outcomes]

    for result, half in zip(results, (slice(0, first), slice(first, 4)), strict=True):
        assert result.keys() == whole.keys()
        assert result["output"].dtype == dtype
        for name in ("output", "grad_input"):
            torch.testing.assert_close(result[name], whole[name][half], rtol=0, atol=tolerance)
        for name in ("running_mean", "running_var", "num_batches_tracked", "weight", "bias"):
            torch.testing.assert_close(result[name], whole[name], rtol=tolerance, atol=tolerance)
    for name in ("grad_weight", "grad_bias"):
        slack = 50 * tolerance  # sums over all 168 pixels
        both = results[0][name] + results[1][name]
        torch.testing.assert_close(both, whole[name], rtol=tolerance, atol=slack)


def test_model_under_distributed_data_parallel_equals_one_process(outcomes):
    model = initial_model()
    x, labels = model_inputs()
    x.requires_grad_()
    main, semantic = model(x)
    segmentation_losses(main, semantic, labels).total.backward()

    for outcome, half in zip(outcomes, (slice(0, 2), slice(2, 4)), strict=True):
        result = outcome["model"]
        torch.testing.assert_close(result["main"], main[half].detach(), rtol=0, atol=1e-10)
        # Each process differentiates the mean over its half of the batch.
        torch.testing.assert_close(result["grad_input"] / 2, x.grad[half], rtol=1e-6, atol=1e-12)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(
                result["gradients"][name], parameter.grad, rtol=1e-6, atol=1e-12
            )
        for name, buffer in model.named_buffers():
            torch.testing.assert_close(result["buffers"][name], buffer, rtol=1e-10, atol=1e-12)


def test_one_process_is_plain_batch_norm():
    x, weights = batch(4, 5, 6, 7)

    plain = normalise(layer(), x, weights)
    synchronised = normalise(layer(kind=SyncBatchNorm), x, weights)

    assert plain.keys() == synchronised.keys()
    assert all(torch.equal(plain[name], synchronised[name]) for name in plain)


def test_evaluation_is_plain_batch_norm():
    x, _ = batch(4, 5, 6, 7)

    with torch.no_grad():
        assert torch.equal(layer(kind=SyncBatchNorm).eval()(x), layer().eval()(x))


def test_both_norms_have_the_same_state():
    plain, synchronised = build("nano", 3), build("nano", 3, norm="syncbn")

    synchronised.load_state_dict(plain.state_dict())

    assert any(isinstance(module, SyncBatchNorm) for module in synchronised.modules())
