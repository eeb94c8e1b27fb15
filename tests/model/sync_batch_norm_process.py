"""One of two processes of test_norm.py: runs the cases in FOLDER as RANK and saves the outcome.

A script, because a spawned process has to find its entry point by name, wherever pytest was
started from.
"""

import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from semask.devices import distributed
from semask.model import build, segmentation_losses
from semask.model.norm import SyncBatchNorm


def run_layer(case, rank):
    norm = SyncBatchNorm(5).to(case["dtype"])
    norm.load_state_dict(case["state"])
    x, weights = case["inputs"][rank]
    x = x.clone().requires_grad_()
    output = norm.train()(x)
    (output * weights).sum().backward()
    return {
        "output": output.detach(),
        "grad_input": x.grad,
        "grad_weight": norm.weight.grad,
        "grad_bias": norm.bias.grad,
        **norm.state_dict(),
    }


def run_model(case, rank):
    model = build("nano", 3, norm="syncbn", **case["overrides"]).double()
    model.load_state_dict(case["state"])
    x, labels = case["inputs"][rank]
    x = x.clone().requires_grad_()
    replica = DistributedDataParallel(model)
    main, semantic = replica(x)
    segmentation_losses(main, semantic, labels).total.backward()
    return {
        "main": main.detach(),
        "grad_input": x.grad,
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "buffers": dict(model.named_buffers()),
    }


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'rendezvous'}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    cases = torch.load(folder / "cases.pt")
    outcomes = {
        name: run_model(case, rank) if name == "model" else run_layer(case, rank)
        for name, case in cases.items()
    }
    torch.save(outcomes, folder / f"rank{rank}.pt")
    distributed.tear_down()
