"""Figures that follow from other kept data, computed again: a record's word is not taken for them.

Scores follow from the confusion matrix, speed, losses and the best evaluation from the log, answers
of parity from the ratios.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np

from semask.base.errors import InputError
from semask.devices.rows import fault_of, precision_of
from semask.evaluation.figures import scores_of
from semask.parity.verdict import number, status_of
from semask.training.log_file import read_log
from semask.training.measurement import speed

Record = Mapping[str, Any]
Line = Mapping[str, Any]

LOG = "log.jsonl"
REMEDY = "restore the file, or delete it and run snakemake again to make it anew"

_ROUNDING = 1e-9  # relative: by what another machine rounds the same numbers, in another order
_PASSES = ("best", "last", "best_multi_scale", "single_scale", "multi_scale")
_OF_STEP = ("loss", "lr", "seconds", "data_seconds")


def compare(
    name: str | Path, key: str, said: Any, found: Any, source: str, remedy: str = REMEDY
) -> None:
    """Hold what a record says against what was computed again.

    Raises:
        InputError: they differ; names the first key of those that do.
    """
    if isinstance(found, Mapping) and isinstance(said, Mapping):
        for of, value in found.items():
            compare(name, f"{key}.{of}", said.get(of), value, source, remedy)
    elif isinstance(found, list) and isinstance(said, list) and len(found) == len(said):
        for place, (one, other) in enumerate(zip(said, found, strict=True)):
            compare(name, f"{key}.{place}", one, other, source, remedy)
    elif said != found and not (
        _is_number(said)
        and _is_number(found)
        and math.isclose(said, found, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    ):
        raise InputError(
            f"{name}: {key} is {_shown(said)} but {_shown(found)} follows from its {source}: "
            f"one of them was changed; {remedy}"
        )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return "nothing" if value is None else f"{value!r:.60}"


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that is finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_training(name: str | Path, record: Record, log: Path) -> None:
    """Check a training's figures against its log, which must be there; `name` is the record's.

    Raises:
        InputError: the log is missing or garbled, or a figure does not follow from it.
    """
    check_processes(name, record)
    if not log.is_file():
        raise InputError(f"{log}: no such file, so {name} cannot be looked at; {REMEDY}")
    steps, evaluations = _parts_of(read_log(log), log)
    figures, training = record["figures"], record["recipe"]["training"]
    if len(steps) != training["iterations"]:
        raise InputError(
            f"{log}: holds {len(steps)} iterations, not the {training['iterations']} of the recipe "
            f"in {name}; {REMEDY}"
        )
    said = figures["speed"]
    window = said["log_window"]
    found = speed(
        [line["seconds"] for line in steps],
        [line["data_seconds"] for line in steps],
        communication=None,
        global_batch=training["global_batch"],
        warmup_iterations=said["warmup_iterations"],
        log_window=window and (window[0], window[1]),
    )
    del found["communication_share"]  # is measured apart from the log
    compare(name, "figures.speed", said, found, log.name)
    best = max(evaluations, key=lambda line: line["evaluation"]["miou"], default=None)
    chosen = best and {"iteration": best["iteration"], "miou": best["evaluation"]["miou"]}
    compare(name, "figures.best", figures["best"], chosen, log.name)
    last = {key: value for key, value in steps[-1].items() if key in figures["last"]}
    compare(name, "figures.last", figures["last"], last, log.name)
    if "precision" in figures:
        skipped = {"skipped_steps": sum("skipped" in line for line in steps)}
        compare(name, "figures.precision", figures["precision"], skipped, log.name)


def check_processes(name: str | Path, record: Record) -> None:
    """Check that what a record says of what ran is its row's and its recipe's.

    Raises:
        InputError: it is not.
    """
    ran = record["ran"]
    fault = fault_of(ran["processes"], record["row"])
    names = {each["device"] for each in ran["processes"]}
    if fault is None and names != {record["device"]["name"]}:
        fault = f"they ran on {names.pop()}, not on {record['device']['name']}"
    if fault is not None:
        raise InputError(f"{name}: ran.processes are not those of its row: {fault}; {REMEDY}")
    if "recipe" in record and "precision" in ran:
        # names that are a kind of device's own, too
        asked = precision_of(record["row"]["device"], record["recipe"]["numerics"])
        compare(name, "ran.precision", ran["precision"], asked, "row and recipe")


def _parts_of(lines: Sequence[Line], log: Path) -> tuple[list[Line], list[Line]]:
    """The lines of iterations, and those of evaluations, if all are what a training writes."""
    steps: list[Line] = []
    evaluations: list[Line] = []
    for place, line in enumerate(lines, 1):
        evaluation = line.get("evaluation")
        if "evaluation" in line:
            sound = isinstance(evaluation, Mapping) and _is_number(evaluation.get("miou"))
            sound = sound and line.get("iteration") == len(steps)
            evaluations.append(line)
        else:
            sound = all(_is_number(line.get(key)) for key in _OF_STEP)
            sound = sound and line["seconds"] > 0 and line["data_seconds"] >= 0
            steps.append(line)
            sound = sound and line.get("iteration") == len(steps)
        if not sound:
            raise InputError(f"{log}: line {place} is none that a training writes; {REMEDY}")
    if not steps:
        raise InputError(f"{log}: holds no iteration; {REMEDY}")
    return steps, evaluations


def check_scores(name: str | Path, record: Record) -> None:
    """Check the scores of an evaluation or of a released checkpoint by their confusion matrices.

    Raises:
        InputError: a figure does not follow from its confusion matrix, or that is none.
    """
    model = record["recipe"]["model"] if "recipe" in record else record["model"]
    figures = record["figures"]
    for figure in _PASSES:
        scored = figures.get(figure)
        if scored is None:
            continue
        key, of = f"figures.{figure}", "confusion matrix"
        counts = scored["confusion"]
        classes = model.get("num_classes", len(counts))
        square = len(counts) == classes and all(len(line) == classes for line in counts)
        if not square or min(map(min, counts)) < 0 or not any(map(any, counts)):
            raise InputError(
                f"{name}: {key}.confusion: is no count of pixels of {classes} classes; {REMEDY}"
            )
        matrix = np.array(counts, np.float64)
        found = vars(scores_of(matrix))
        compare(name, key, scored, {k: v for k, v in found.items() if k in scored}, of)
        if "labelled_pixels" in figures:
            counted = {"labelled_pixels": int(matrix.sum())}
            compare(name, "figures", figures, counted, f"{figure} {of}")


def check_evaluation(name: str | Path, record: Record, trained: Record) -> None:
    """Check an evaluation by its confusion matrices, and against its training's record.

    Raises:
        InputError: a figure does not follow from them.
    """
    check_processes(name, record)
    check_scores(name, record)
    figures, kept = record["figures"], trained["figures"]
    shared = {"images": sum(each.get("images", 0) for each in record["ran"]["processes"])}
    compare(name, "figures", figures, shared, "ran.processes")
    for figure in _PASSES:
        if figures.get(figure) is not None:
            iteration = kept["last" if figure == "last" else "best"]["iteration"]
            of = "record of its training"
            compare(name, f"figures.{figure}", figures[figure], {"iteration": iteration}, of)


def check_parity(name: str | Path, record: Record) -> None:
    """Check the answers of the looks at a device by what they found.

    Raises:
        InputError: an answer does not follow from it.
    """
    for look, finding in record["figures"]["looks"].items():
        key = f"figures.looks.{look}"
        if "modules" in finding:
            _check_modules(name, key, finding)
        elif "medians" in finding:
            _check_steps(name, key, finding)
        elif "painted" in finding:
            painted = finding["painted"]
            wrong = not painted["pixels"] or painted["wrong"] > 0
            if painted["wrong"] > painted["pixels"] or len(finding["faults"]) != wrong:
                raise _unfounded(name, f"{key}.faults", "painted")
        elif "sites" in finding:
            found = [site["fault"] for site in finding["sites"] if site["fault"]]
            told = finding["faults"]
            if len(told) != len(found) or not all(map(str.endswith, told, found)):
                raise _unfounded(name, f"{key}.faults", "sites")


def _check_modules(name: str | Path, key: str, finding: Mapping[str, Any]) -> None:
    for module in finding["modules"]:
        worst = module["worst"]
        status = status_of(_ratio(worst)) if worst else "passed"
        if worst is None and module["fault"] and module["status"] != "passed":
            continue  # nothing could be compared, and the fault says why
        if module["status"] == "looked at" and status == "failed":
            continue  # it did not fail on all inputs
        compare(name, f"{key}.{module['name']}", module, {"status": status}, "ratio")
    failed = [m["name"] for m in finding["modules"] if m["status"] == "failed"]
    compare(name, key, finding, {"failed": failed}, "list of modules")
    if finding["guilty"] not in (failed or [None]):
        raise _unfounded(name, f"{key}.guilty", "list of modules")


def _check_steps(name: str | Path, key: str, finding: Mapping[str, Any]) -> None:
    steps, told = finding["quantities"], finding["medians"]
    if any(step.keys() != told.keys() for step in steps):
        raise _unfounded(name, f"{key}.medians", "list of steps, each of the same quantities")
    medians = {of: median_low(_ratio(step[of]) for step in steps) for of in told}
    told = {of: number(ratio) for of, ratio in told.items()}
    compare(name, f"{key}.medians", told, medians, "list of steps")
    status = "failed" if finding["rates"] else status_of(max(medians.values()))
    compare(name, key, finding, {"status": status}, "medians")


def _ratio(of: Mapping[str, Any]) -> float:
    """Of a quantity: infinite where its error is."""
    return number(None if of["error"] is None else of["ratio"])


def _unfounded(name: str | Path, key: str, source: str) -> InputError:
    return InputError(f"{name}: {key} does not follow from its {source}; {REMEDY}")
