"""Made-up records whose figures follow from a log and a confusion matrix, as real ones do."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from semask.base.files import sha256
from semask.base.records import write_record
from semask.evaluation.figures import scores_of
from semask.evaluation.paired import Matrices, differences
from semask.training.measurement import speed

from .conftest import process

FPS = 10.0


def lines_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Log lines of a training; its record's figures become those that follow from them.

    Args:
        content: as the fixture `make_record` makes it; of few iterations.
    """
    figures, training = content["figures"], content["recipe"]["training"]
    count, batch = training["iterations"], training["global_batch"]
    seconds = batch / FPS
    lines: list[dict[str, Any]] = [
        {"iteration": n, "loss": 3 / n, "loss_ce": 2 / n, "loss_semantic": 1 / n, "acc_seg": 50.0,
         "lr": 1e-4, "seconds": seconds, "data_seconds": 0.1 * seconds}
        for n in range(1, count + 1)
    ]  # fmt: skip
    figures["speed"] = speed(
        [seconds] * count, [0.1 * seconds] * count, communication=None, global_batch=batch,
        warmup_iterations=10, log_window=(2, 1),
    )  # fmt: skip
    figures["last"] = {key: lines[-1][key] for key in ("iteration", "loss", "acc_seg")}
    figures["best"] = None
    if content["mode"] == "full":
        figures["best"] = {"iteration": count, "miou": 45.0}
        scores = {"miou": 45.0, "macc": 50.0, "aacc": 60.0}
        lines.append({"iteration": count, "evaluation": scores, "seconds": 1.0})
    return lines


def score(content: dict[str, Any]) -> None:
    """Have an evaluation's figures follow from a confusion matrix."""
    classes = content["recipe"]["model"]["num_classes"]
    confusion = np.eye(classes, dtype=int) + np.eye(classes, k=1, dtype=int)
    figures = content["figures"]
    scored = {
        "iteration": content["recipe"]["training"]["iterations"],
        **vars(scores_of(confusion.astype(float))),
        "confusion": confusion.tolist(),
    }
    figures.update(best=scored, last=dict(scored), labelled_pixels=int(confusion.sum()))
    for each in content["ran"]["processes"]:  # the first one has those that do not go up
        share, more = divmod(figures["images"], content["row"]["processes"])
        each["images"] = share + (more if each["rank"] == 0 else 0)


def name_processes(content: dict[str, Any]) -> None:
    """Have a record's processes be its row's."""
    name, ranks = content["device"]["name"], range(content["row"]["processes"])
    content["ran"]["processes"] = [process(rank, device=name) for rank in ranks]


def write_cross(
    path: Path,
    content: dict[str, Any],
    confusion: Any,
    flips: Sequence[tuple[int, int, int]] = (),
    images: int = 2,
) -> None:
    """Write a record of weights that another row's device scored, and its matrices.

    Args:
        path: of the record.
        content: as the fixture `make_record` makes it.
        confusion: (K, K), of the weights on their own row's device; all of it in the first image.
        flips: label, class there and class here of a pixel each.
        images: how many there are.
    """
    classes = content["recipe"]["model"]["num_classes"]
    there, here = np.array(confusion, np.int64), np.array(confusion, np.int64)
    by_class = [0] * classes
    for label, of, to in flips:
        here[label, of] -= 1
        here[label, to] += 1
        by_class[label] += 1
    cells = np.flatnonzero((there + here).ravel())
    kept = Matrices(np.zeros_like(cells), cells, there.ravel()[cells], here.ravel()[cells])
    name_processes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept.save(path.with_suffix(".npz"))
    labelled = there.sum(axis=1).tolist()
    shares = [n / of if of else None for n, of in zip(by_class, labelled, strict=True)]
    content["figures"] |= {
        "images": images,
        "labelled_pixels": sum(labelled),
        "flips": {
            "pixels": len(flips),
            "share": len(flips) / sum(labelled),
            "of_class": by_class,
            "share_of_class": shares,
        },
        **differences(kept, images, classes),
        "matrices_digest": sha256(path.with_suffix(".npz")),
    }
    write_record(path, "cross", **content)


def write_run(folder: Path, content: dict[str, Any], kind: str) -> None:
    """Write a training's record and its log, or an evaluation's and its picture."""
    name_processes(content)
    if kind == "train":
        lines = lines_of(content)
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "log.jsonl").write_text(text, encoding="utf-8")
    else:
        score(content)
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / "predictions.png")
    write_record(folder / f"{kind}.json", kind, **content)
