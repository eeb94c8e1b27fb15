import pytest
import torch
from torch._dynamo.backends.distributed import DDPOptimizer

from semask.model import build, segmentation_losses
from semask.model.backbone import Stage
from semask.model.compiling import compile_for_scoring, compile_for_training, compile_parts

SIZE = (96, 112)


def made(**settings):
    torch.manual_seed(0)
    settings = {"drop_path": 0.0, "dropout": 0.0, "semantic_dropout": 0.0, **settings}
    model = build("nano", 5, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model


def images(batch=2):
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def labels():
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 5, (2, *SIZE), generator=generator)


def gradients(model, losses_of=segmentation_losses):
    torch.manual_seed(3)
    losses = losses_of(*model(images()), labels())
    model.zero_grad()
    losses.total.backward()
    return losses, [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("fused", [False, True])
def test_checkpointing_changes_nothing(fused):
    # with everything that is drawn at random
    random = {"drop_path": 0.4, "dropout": 0.1, "semantic_dropout": 0.1, "fused_attention": fused}
    plain, found = gradients(made(**random))
    again, found_again = gradients(made(**random, checkpointing=True))
    assert plain.total == again.total
    assert all(map(torch.equal, found, found_again))


def test_checkpointing_keeps_less():
    kept = {}
    for checkpointing in (False, True):
        model, total = made(checkpointing=checkpointing), 0

        def pack(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(images())
        kept[checkpointing] = total
    assert kept[True] < 0.8 * kept[False]


def test_fused_attention_gives_the_same():
    plain, fused = made().eval(), made(fused_attention=True).eval()
    torch.testing.assert_close(fused(images()), plain(images()), rtol=1e-4, atol=1e-5)


def test_drop_path_drops_whole_samples_at_its_rate():
    torch.manual_seed(0)
    kept = Stage.draw_kept(torch.zeros(20000, 2, 2, 3), 0.3)
    assert kept.shape == (20000, 1, 1, 1)
    torch.testing.assert_close(kept.unique(), torch.tensor([0, 1 / 0.7]))
    assert kept.mean() == pytest.approx(1, abs=0.02)


def test_drop_path_is_for_training_only():
    model = made(drop_path=0.5)
    assert not torch.equal(model(images())[0], model(images())[0])
    model.eval()
    assert torch.equal(model(images()), model(images()))


@pytest.mark.slow
def test_compiled_training_follows_the_plain_one():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    # shifted windows in the first stage only: fewer graphs, which take seconds each
    plain, expected = gradients(made(depths=(2, 1, 1, 1)))
    model = made(depths=(2, 1, 1, 1))
    compile_parts(model)
    assert set(model.state_dict()) == set(made(depths=(2, 1, 1, 1)).state_dict())
    losses, found = gradients(model, compile_for_training(model))
    torch.testing.assert_close(losses.total, plain.total, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses.acc_seg, plain.acc_seg, rtol=0, atol=0.1)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    # blocks, semantic layers, decoder, loss
    assert counters["stats"]["unique_graphs"] == 5 + 4 + 1 + 1
    with torch.compiler.set_stance("force_eager"):
        model.eval()
        plain_model = made(depths=(2, 1, 1, 1))
        plain_model.load_state_dict(model.state_dict())
        torch.testing.assert_close(model(images()), plain_model.eval()(images()))
    # blocks of the same shapes share one graph
    deeper = made(depths=(4, 1, 1, 1))
    compile_parts(deeper)
    deeper(images())
    assert counters["stats"]["unique_graphs"] == 5 + 4 + 1 + 1


@pytest.mark.slow
def test_between_processes_each_part_stays_one_graph(monkeypatch):
    """Of itself torch cuts them to the buckets of gradients, and counts no break."""

    def cut(*_):
        raise AssertionError("cut to buckets")

    torch._dynamo.reset()
    monkeypatch.setattr(DDPOptimizer, "compile_fn", cut)
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(  # whose graphs are the same, and are made in seconds
        torch.nn.Module, "compile", lambda part, **how: compiled(part, backend="aot_eager", **how)
    )
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        _, expected = gradients(made(depths=(2, 1, 1, 1)))
        model = made(depths=(2, 1, 1, 1))
        compile_parts(model, several_processes=True)
        several = torch.nn.parallel.DistributedDataParallel(model)
        _, found = gradients(several)
    finally:
        torch.distributed.destroy_process_group()
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_model_compiled_for_scoring_gives_the_same():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = made(depths=(2, 1, 1, 1)).eval()
    compile_for_scoring(model)
    with torch.inference_mode():
        found = model(images(1))
        expected = made(depths=(2, 1, 1, 1)).eval()(images(1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
