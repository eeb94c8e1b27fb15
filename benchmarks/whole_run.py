"""A whole training run from files: ours, as the pipeline runs it, against a plain loop.

The plain loop is the original's way: its model, its input steps in a DataLoader's workers, fp32.
Ours are performance runs by `workflow_scripts.train`. Compared are images per second in the steady
window, which includes all that a run does but starting.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks import data, pairing
from benchmarks.original import OriginalModel, original_losses, original_sample
from semask.base.records import read_record
from semask.config.layers import assemble, read_layer
from semask.config.recipe import model_of
from semask.data.manifest import fingerprint, write_manifest
from semask.data.preparing import prepare
from semask.data.transforms import Augmentation
from semask.devices import computing
from semask.model import build
from semask.training.optimization import build_optimizer

REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.set_defaults(rounds=2)
    parser.add_argument("--device", choices=["cpu", "gpu", "npu"], default="cpu")
    parser.add_argument("--variant", default="tiny")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=16, help="of a run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compiled runs, too")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.variant, arguments.crop, arguments.iterations = "nano", 64, 8
    split = data.scenes(16, (256, 128) if arguments.quick else data.SIZE)
    runs = {"plain loop, fp32": lambda: _plain(split, arguments)}
    prepared = split["root"].parent / "prepared"
    prepare(split, split["root"], split["labels"], prepared)
    ours = {
        "ours, fp32": {},
        "ours, bf16": {"precision": "bf16"},
        "ours, bf16, prepared": {"precision": "bf16", "prepared": prepared},
    }
    if arguments.compile:
        ours["ours, bf16, prepared, compiled"] = {**ours["ours, bf16, prepared"], "compile": True}
    for name, settings in ours.items():
        runs[name] = lambda settings=settings: our_run(split, arguments, **settings)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    rival = next(iter(found.values()))
    results: dict[str, dict[str, Any]] = {}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            if name in results:
                continue
            try:
                found[name].append(run())
            except Exception as fault:
                if found[name] is rival:
                    raise
                results[name] = {"fault": pairing.one_line(fault)}
    for name, rounds in found.items():
        if name in results:
            continue
        ratios = [own["fps"] / plain["fps"] for own, plain in zip(rounds, rival, strict=True)]
        results[name] = {
            "fps": median(own["fps"] for own in rounds),
            "ratio": median(ratios),
            "ratios": ratios,
            "data_wait_share": median(own["data_wait_share"] for own in rounds),
        }
        print(name, {k: v for k, v in results[name].items() if k != "ratios"}, flush=True)
    pairing.keep("whole_run", arguments, results, arguments.device)


class _PlainSet(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, split: Any, settings: Augmentation, length: int) -> None:
        self.files = [
            (split["root"] / f["image"], split["labels"] / f["label"]) for f in split["files"]
        ]
        self.settings, self.length = settings, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, label = self.files[n % len(self.files)]
        rng = np.random.default_rng(n)
        return original_sample(image.read_bytes(), label.read_bytes(), self.settings, rng)


def _plain(split: Any, arguments: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(arguments.threads)
    kind = {"gpu": "cuda"}.get(arguments.device, arguments.device)
    device = torch.device(kind)
    torch.manual_seed(0)
    # without drop-path, which the plain spelling leaves out
    model = OriginalModel(build(arguments.variant, 19, drop_path=0.0).to(device))
    optimizer = build_optimizer(model.model, learning_rate=1e-4, weight_decay=0.05)
    count = arguments.batch * arguments.iterations
    samples = _PlainSet(split, data.augmentation(split, arguments.crop), count)
    loader: Iterator[Any] = iter(
        DataLoader(
            samples,
            batch_size=arguments.batch,
            num_workers=arguments.workers,
            pin_memory=kind != "cpu",
            worker_init_fn=_one_thread,
        )
    )
    waited, begun = 0.0, time.perf_counter()
    for iteration in range(arguments.iterations):
        if iteration == _warmup(arguments):
            waited, begun = 0.0, time.perf_counter()
        asked = time.perf_counter()
        images, labels = next(loader)
        waited += time.perf_counter() - asked
        optimizer.zero_grad()
        main_logits, semantic = model(images.to(device, non_blocking=True))
        original_losses(main_logits, semantic, labels.to(device)).backward()
        optimizer.step()
        computing.wait(device)
    steady = time.perf_counter() - begun
    count = arguments.batch * (arguments.iterations - _warmup(arguments))
    return {"fps": count / steady, "data_wait_share": waited / steady}


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def our_run(
    split: Any,
    arguments: argparse.Namespace,
    precision: str = "fp32",
    prepared: Path | None = None,
    compile: bool = False,
) -> dict[str, float]:
    """Speed of a performance run: fps and data_wait_share.

    Of the arguments device, variant, crop, batch, iterations, workers and threads are read. Without
    a folder of prepared images files are.

    Raises:
        CalledProcessError: the run failed.
    """
    folder = split["root"].parent / "whole_run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest = {k: v for k, v in split.items() if k not in ("root", "labels")}
    write_manifest(folder / "train-manifest.json", manifest)
    # a performance run scores nothing, but splits must not share images
    others = [{**x, "image": x["image"].replace("/train/", "/val/")} for x in manifest["files"]]
    write_manifest(
        folder / "val-manifest.json",
        {**manifest, "split": "val", "files": others, "fingerprint": fingerprint(others)},
    )
    config = _config(split, arguments, precision, compile)
    run = {"device": arguments.device, "processes": 1, "threads": arguments.threads}
    run |= {"mode": "performance", "seed": 0, "forbid_fallbacks": False}
    command = [
        *(sys.executable, "-m", "workflow_scripts.train"),
        *("--config", json.dumps(config)),
        *("--run", json.dumps(run)),
        *("--train-manifest", folder / "train-manifest.json"),
        *("--val-manifest", folder / "val-manifest.json"),
        *("--root", split["root"], "--labels", split["labels"], "--work", folder / "work"),
        *("--fault-tolerance", json.dumps(config["fault_tolerance"])),
        *("--output-log", folder / "log.jsonl", "--record", folder / "train.json"),
        *(("--prepared", prepared) if prepared else ()),
    ]
    subprocess.run([str(part) for part in command], check=True, cwd=REPOSITORY)
    speed = read_record(folder / "train.json", "train")["figures"]["speed"]
    return {key: speed[key] for key in ("fps", "data_wait_share")}


def _config(
    split: Any, arguments: argparse.Namespace, precision: str, compile: bool
) -> dict[str, Any]:
    config = assemble([read_layer(REPOSITORY / "config.yaml")])
    settings = data.augmentation(split, arguments.crop)
    augmentation = {
        "scale": list(settings.scale),
        "ratio_range": list(settings.ratio_range or ()),
        "crop": list(settings.crop),
        "photometric": True,
    }
    config["training"]["augmentation"].update(augmentation)
    config["training"].update(precision=precision)
    config["training"]["batch"]["size"] = arguments.batch
    config["model"] = {**model_of(config), "variant": arguments.variant, "norm": "bn"}
    config["loader"]["workers"] = arguments.workers
    config["performance"] = {
        "iterations": arguments.iterations,
        "warmup_iterations": _warmup(arguments),
        "log_window": {"ends_at": arguments.iterations, "length": 2},
    }
    config["execution"]["compile"] = [arguments.device] if compile else []
    config["dataset"] = "cityscapes"
    return config


def _warmup(arguments: argparse.Namespace) -> int:
    return max(2, arguments.iterations // 4)


if __name__ == "__main__":
    main()
