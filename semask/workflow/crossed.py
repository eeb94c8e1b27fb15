"""Weights of one row on another row's device: which the config asks for, and what that takes.

The weights are of a row of this machine, `of` is then its name such as cpu-2p, or of one that came
in a bundle: gpu_site/gpu-1p. A pair of which a row is not here, such as one of an experiment that
two sites share, is left out, and said to be.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from semask.base.errors import InputError
from semask.base.row_names import row_folder
from semask.comparison.bundle import members
from semask.comparison.crossed import files_of
from semask.config.repeats import seeds_of
from semask.workflow.plan import Plan

FILES = ("evaluate.json", "best.safetensors", "label_maps.zip")
"""What scoring a run's weights elsewhere needs of it, in its folder."""

_REMEDY = "have it packed with bundle.weights set to true"


class Weights(NamedTuple):
    """A row that keeps weights: in a bundle or, None, on this machine, and its seeds."""

    bundle: str | None
    row: str
    seeds: list[int]

    @property
    def name(self) -> str:
        return self.row if self.bundle is None else f"{self.bundle}/{self.row}"


def cross_records(plan: Plan) -> list[str]:
    """What is found of all pairs whose rows are here, of every seed of the weights.

    InputError where several bundles have the row of the weights.
    """
    found = [(pair["scored_by"], _weights(plan, pair["weights"])) for pair in plan.config["cross"]]
    return [
        f"{plan.results}/{on}/cross/{weights.name}/seed{seed}.json"
        for on, weights in found
        if isinstance(weights, Weights) and on in _rows(plan)
        for seed in weights.seeds
    ]


def bundled(plan: Plan) -> list[str]:
    """What goes into a bundle: what the plan says, and all records of this with their matrices.

    InputError where nothing does, or several bundles have the row of the weights.
    """
    files = plan.bundled()
    for record in cross_records(plan):
        files += [record, str(files_of(record).matrices)]
    if not files:
        raise InputError("config: rows: a bundle needs one with the mode full or performance")
    return files


def left_out(plan: Plan) -> list[str]:
    """Why pairs are left out of which one row is here, a line for each.

    What another machine scored, whose bundle has the record, is not left out. InputError where
    several bundles have the row of the weights.
    """
    lines = []
    for pair in plan.config["cross"]:
        if _scored_elsewhere(plan, **pair):
            continue
        weights, here = _weights(plan, pair["weights"]), pair["scored_by"] in _rows(plan)
        said = f"weights of {pair['weights']} scored by {pair['scored_by']}"
        if isinstance(weights, Weights) and not here:
            lines.append(f"{said}: {pair['scored_by']} is not in rows")
        elif here and not isinstance(weights, Weights):
            lines.append(f"{said}: {weights}")
    return lines


def weights_of(plan: Plan, of: str) -> Weights:
    """The row that a target names; InputError where it is not here, or keeps no weights."""
    found = _weights(plan, of)
    if isinstance(found, Weights):
        return found
    raise InputError(f"weights of {of}: {found}")


def _rows(plan: Plan) -> dict[str, Any]:
    return {row_folder(row): row for row in plan.config["rows"]}


def _weights(plan: Plan, of: str) -> Weights | str:
    """The row that `of` names, or why there is none."""
    bundle, _, name = of.rpartition("/")
    row = _rows(plan).get(name)
    if not bundle and row is not None:
        if "full" not in row["modes"]:
            return f"{name} keeps none; add full to its modes"
        return Weights(None, name, list(seeds_of(plan.config, row, "full")))
    imports = plan.imports
    if bundle and bundle not in imports:
        return f"{bundle} is not in imports"
    scored = {each: _seeds_in(imports[each]["file"], name, FILES[:1]) for each in imports}
    having = [each for each in scored if scored[each] and bundle in ("", each)]
    if len(having) > 1:
        raise InputError(
            f"config: cross: weights of {name}: in the bundles {' and '.join(having)}; write "
            f"{having[0]}/{name} for those of the first"
        )
    if not having:
        return f"{name} is neither in rows nor evaluated in a bundle of imports"
    seeds = _seeds_in(imports[having[0]]["file"], name, FILES)
    if not seeds:
        return f"bundle {having[0]} came without its weights; {_REMEDY}"
    return Weights(having[0], name, seeds)


def _scored_elsewhere(plan: Plan, weights: str, scored_by: str) -> bool:
    of = re.escape(weights.rpartition("/")[2])
    record = rf"{re.escape(scored_by)}/cross/(.+/)?{of}/seed\d+\.json"
    names = (name for each in plan.imports.values() for name in members(Path(each["file"])))
    return any(re.fullmatch(record, name) for name in names)


def _seeds_in(bundle: str, row: str, files: tuple[str, ...]) -> list[int]:
    """Seeds of a row's full runs of which a bundle has all of some files."""
    there = members(Path(bundle))
    runs = [re.fullmatch(rf"{re.escape(row)}/full/seed(\d+)/{files[0]}", name) for name in there]
    seeds = sorted(int(run[1]) for run in runs if run)
    return [n for n in seeds if all(f"{row}/full/seed{n}/{name}" in there for name in files)]
