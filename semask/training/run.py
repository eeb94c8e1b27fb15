"""A training run: what to compute, where, and where its files are."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from semask.base.row_names import as_recorded, row_name
from semask.config.recipe import Execution, Recipe, differing_keys
from semask.training.measurement import skipped_iterations

VALIDATION = "validation_fingerprint"
"""Of the validation split, in records of full runs and in what their work directories note."""


@dataclass(frozen=True)
class FaultTolerance:
    """How a run guards against interruptions; it changes no result."""

    checkpoint_iterations: int | None  # between two checkpoints; None leaves it to the time
    checkpoint_minutes: float | None  # age of the last one at which another is due; None: likewise
    keep_checkpoints: int  # how many, the newest ones
    stall_minutes: float  # a run in which nothing moves for so long is ended

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> "FaultTolerance":
        """What the config says of it; what is there for the workflow is passed over."""
        return cls(**{field.name: settings[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Run:
    """One training run.

    `train` and `val` are split manifests; `val` is read by full runs only. `root` and `labels` are
    the folders that the manifests' paths are relative to. `outputs` gives the target of `log` and,
    in full runs, `best` and `last`; `record` is written after them. `prepared` is the
    folder of the images and labels that the stage `prepare` stored, `pretrained` the file of the
    weights to start from, if any; with `forbid_fallbacks` an operator that an NPU lacks is an
    error. `planted_fault` is what stands for another device in a demonstration
    (`semask.devices.planted`).
    """

    experiment: str
    recipe: Recipe
    device: str
    processes: int
    threads: int
    mode: str
    seed: int
    workers: int
    warmup_iterations: int
    log_window: tuple[int, int] | None
    train: Mapping[str, Any]
    val: Mapping[str, Any]
    root: Path
    labels: Path
    work: Path
    outputs: Mapping[str, Path]
    record: Path
    execution: Execution
    fault_tolerance: FaultTolerance
    prepared: Path | None = None
    pretrained: Path | None = None
    forbid_fallbacks: bool = False
    planted_fault: str | None = None

    @property
    def name(self) -> str:
        return f"{row_name(self.row)} {self.mode} seed {self.seed}"

    @property
    def row(self) -> dict[str, Any]:
        return as_recorded(vars(self))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that must be the same for a run to go on from another one's checkpoint.

        The validation split decides which weights of a full run are the best ones.
        """
        scored = {VALIDATION: self.val["fingerprint"]} if self.mode == "full" else {}
        return {
            "experiment": self.experiment,
            "row": self.row,
            "mode": self.mode,
            "seed": self.seed,
            "recipe": self.recipe.as_dict(),
            "data_fingerprint": self.train["fingerprint"],
            **scored,
        }

    @property
    def executed(self) -> dict[str, bool]:
        """How it is run, as records tell it."""
        return {**asdict(self.execution), "prepared": self.prepared is not None}

    def is_answered_by(self, record: Mapping[str, Any]) -> bool:
        """Whether the record of a complete run is one that this run could have made.

        How images come in and how speed is measured count for performance runs only: they change
        no result of a full one.

        Raises:
            KeyError: the record lacks what is to be the same.
        """
        figures, speed = record["figures"], record["figures"]["speed"]
        found = {key: record[key] for key in (*self.identity, "execution")}
        asked = {**self.identity, "execution": self.executed}
        if self.mode == "performance":
            skipped = skipped_iterations(self.recipe.training.iterations, self.warmup_iterations)
            asked |= {"workers": self.workers, "warmup": skipped, "log_window": self.log_window}
            found |= {"workers": figures["workers"], "warmup": speed["warmup_iterations"]}
            found |= {"log_window": speed["log_window"]}
        else:
            found["execution"] = {**found["execution"], "prepared": self.executed["prepared"]}
        fell_back = self.forbid_fallbacks and figures["cpu_fallbacks"]
        # as it is read: with lists in place of tuples
        return not fell_back and not differing_keys(found, json.loads(json.dumps(asked)))


def without_data(recipe: Recipe, execution: Execution, row: Mapping[str, Any], seed: int) -> Run:
    """A run for its steps alone: it reads no data set and keeps nothing.

    `row` has device, processes, threads, and planted_fault, if there is one.
    """
    unused = Path()
    return Run(
        experiment="steps", recipe=recipe, device=row["device"], processes=row["processes"],
        threads=row["threads"], mode="full", seed=seed, workers=0, warmup_iterations=0,
        log_window=None, train={}, val={}, root=unused, labels=unused, work=unused, outputs={},
        record=unused, execution=execution, fault_tolerance=FaultTolerance(None, None, 1, 30),
        planted_fault=row.get("planted_fault"),
    )  # fmt: skip
