"""What the rules ask of the config: folders, runs, the parts that each stage reads, as JSON.

Nothing here knows Snakemake; `rules/common.smk` gives the answers to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.row_names import as_recorded, folder_of, row_folder
from semask.comparison.bundle import outline
from semask.comparison.bundled import LABEL_MAPS
from semask.comparison.published import read_sources
from semask.config.checks import check_all
from semask.config.layers import bundles_of
from semask.config.recipe import model_of
from semask.config.repeats import seeds_of, with_figures
from semask.data import sets
from semask.fetching.fetch import Source
from semask.workflow import parity_memory

Config = Mapping[str, Any]

# parts of the config that training reads as they are
_TRAINING = ("experiment", "training", "numerics", "execution", "port_faults", "loader")


@dataclass(frozen=True)
class Plan:
    """An experiment as its rules see it."""

    config: Config  # merged and checked
    layers: Sequence[Config]  # what it was merged from
    weights: Mapping[str, Source]  # that are published, by the names of their files

    @classmethod
    def read(cls, layers: Sequence[Config], folder: Path) -> "Plan":
        """The plan of a config's layers: config.yaml, the overlays, what the command line sets.

        The folder is the checkout's, with the schema and the published figures. Where
        a layer is wrong, or the list of weights damaged, InputError is one line that names it.
        """
        config = check_all(layers, folder / "schemas" / "config.schema.yaml")
        return cls(config, layers, read_sources(folder / "published" / "weights.csv"))

    @property
    def results(self) -> str:
        """Folder of the results, of the chosen variant if there are several."""
        whole, variant = self.config["results"], self.config["variant"]
        return f"{whole}" if variant is None else f"{whole}/{variant}"

    @property
    def released_folder(self) -> str:
        """Folder of what is said of the released checkpoints, of all variants."""
        return f"{self.config['results']}/released"

    @property
    def imports(self) -> Config:
        """Bundles from elsewhere, by name: file and digest."""
        return bundles_of(self.config)

    @cached_property
    def dataset(self) -> sets.DataSet:
        return sets.load(self.config["dataset"]["name"])

    def row(self, device: str, processes: str | int, planted: str = "") -> Config:
        """The config's row of a folder, by its wildcards; see `semask.base.row_names.row_folder`.

        InputError where there is none.
        """
        folder = folder_of(device, processes, planted)
        for row in self.config["rows"]:
            if row_folder(row) == folder:
                return dict(row)
        raise InputError(
            f"row {folder} is not in the config; add it to rows, or ask for one that is there"
        )

    def runs(self, file: str, *modes: str) -> list[str]:
        """A file of every run in some modes, in the config's order."""
        return [
            f"{self.results}/{row_folder(row)}/{mode}/seed{seed}/{file}"
            for row in self.config["rows"]
            for mode in row["modes"]
            for seed in seeds_of(self.config, row, mode)
            if mode in modes
        ]

    def environment(self, device: str) -> str:
        """Name of a row's environment: GPU rows beside NPU rows have the NPU's version of torch.

        Also where NPUs are elsewhere and score their weights.
        """
        devices = {row["device"] for row in self.config["rows"]}
        devices |= {pair["scored_by"].partition("-")[0] for pair in self.config["cross"]}
        return "gpu_beside_npu" if device == "gpu" and "npu" in devices else device

    def evaluation_memory(self, row: Config) -> int:
        """MB of memory of an evaluation's processes; docs/evaluation.md has the measured ones."""
        width, height = self.config["evaluation"]["scale"]
        images = width * height / (1024 * 2048)
        several = self.config["evaluation"]["multi_scale"]
        largest = max([1, *several["ratios"]]) if several else 1
        each = 1000 + images * (1000 * largest**2 + (1300 if several else 0))
        return int(row["processes"] * each)

    def dataset_config(self) -> str:
        """What making or looking at the data set reads, as JSON."""
        dataset = self.config["dataset"]
        keys = ("name", "root", dataset["name"])
        return json.dumps({key: dataset[key] for key in keys if key in dataset})

    def archives(self) -> str:
        """Archives of the data set and what is known of them, as JSON.

        InputError where there are none.
        """
        if not self.dataset.ARCHIVES:
            raise InputError(
                "config: dataset.download: there is nothing to download for data set "
                f"{self.config['dataset']['name']}; set it to false"
            )
        return json.dumps([asdict(archive) for archive in self.dataset.ARCHIVES])

    def complete(self) -> str:
        """What the splits must be if the data set has to be complete, as JSON."""
        if not self.config["dataset"]["complete"]:
            return "null"
        return json.dumps({"images": self.dataset.IMAGES, "size": self.dataset.SIZE})

    def training_config(self) -> str:
        """What training reads, as JSON."""
        # how weights are scored on the way decides which ones are the best
        performance = {k: v for k, v in self.config["performance"].items() if k != "repeats"}
        scoring = {k: self.config["evaluation"][k] for k in ("scale", "sliding_window")}
        return json.dumps(
            {
                "dataset": self.config["dataset"]["name"],
                "model": model_of(self.config),
                **{key: self.config[key] for key in _TRAINING},
                "performance": performance,
                "evaluation": scoring,
            }
        )

    def run_settings(self, row: Config, mode: str, seed: str) -> str:
        """What a training run is, as JSON: the row, its mode and seed, and what is forbidden."""
        return json.dumps(
            {
                **as_recorded(row),
                "mode": mode,
                "seed": int(seed),
                "forbid_fallbacks": self.forbids_fallbacks(row["device"]),
            }
        )

    def parity_look(self, row: Config) -> list[str]:
        """How a row's device is looked at, as options of `workflow_scripts.parity`.

        InputError where no look is to be run.
        """
        if not self.config["parity"]["looks"]:
            raise InputError("config: parity.looks: empty; name the looks to be run")
        look = {**self.config["parity"], "size": self.config["parity"]["size"][::-1]}
        values = [(f"--{key}", *([x] if isinstance(x, int) else x)) for key, x in look.items()]
        return [
            "--row",
            json.dumps(as_recorded(row)),
            *(str(word) for words in values for word in words),
        ]

    def parity_memory(self, row: Config) -> int:
        """MB that the looks at a row's device may take on the host."""
        return parity_memory.megabytes(self.config, row)

    def profiles(self) -> list[str]:
        """What is said of where the time goes, of the rows with that mode."""
        return [
            f"{self.results}/{row_folder(row)}/profile.json"
            for row in self.config["rows"]
            if "profile" in row["modes"]
        ]

    def parity_records(self) -> list[str]:
        """What the looks at every row's device find; nothing where the config asks for no look."""
        if not self.config["parity"]["looks"]:
            return []
        rows = with_figures(self.config)
        return [f"{self.results}/{row_folder(row)}/parity.json" for row in rows]

    def table_rows(self) -> str:
        """The rows of the table, as JSON; InputError where there are none."""
        if not (rows := with_figures(self.config)):
            raise InputError("config: rows: a table needs one with the mode full or performance")
        return json.dumps(rows)

    def parity_needs_data(self) -> bool:
        """Whether the looks at devices read the data set."""
        look = self.config["parity"]
        return "data" in look["looks"] and look["batches"] > 0

    def scoring_settings(self, device: str, told: Mapping[str, Any]) -> str:
        """How weights are scored on a device, beside what else the stage is told, as JSON."""
        return json.dumps(
            {
                **told,
                "workers": self.config["loader"]["workers"],
                "execution": self.config["execution"],
                "predictions": self.config["evaluation"]["predictions"],
                "forbid_fallbacks": self.forbids_fallbacks(device),
            }
        )

    def forbids_fallbacks(self, device: str) -> bool:
        """Whether an operator that the device lacks is an error."""
        return device == "npu" and bool(self.config["npu"]["forbid_fallbacks"])

    def pretrained(self) -> tuple[str, bool] | None:
        """File that training starts from, and whether it is fetched; None for random weights.

        InputError where there is no such file, and none is published under that name.
        """
        given = self.config["model"]["pretrained"]
        if given is None:
            return None
        if given in self.weights:
            return f"{self.config['downloads']['weights']}/{given}", True
        if not Path(given).is_file():
            raise InputError(
                f"config: model.pretrained: {given}: no such file, and not a name in "
                f"published/weights.csv, which has {', '.join([*self.weights][:4])}, ..."
            )
        return given, False

    def bundled(self) -> list[str]:
        """What goes into a bundle: the records and logs of all rows; if asked, weights."""
        of_full = ["evaluate.json", "predictions.png"]
        if self.config["evaluation"]["agreement"]:
            of_full.append("agreement.json")
        if self.config["bundle"]["weights"]:
            of_full += ["best.safetensors", "last.safetensors", LABEL_MAPS]
        both = ("full", "performance")
        of_all = [file for name in ("train.json", "log.jsonl") for file in self.runs(name, *both)]
        of_all += self.parity_records()
        return [*of_all, *(file for name in of_full for file in self.runs(name, "full"))]

    def bundle(self, name: str) -> str:
        """File of a bundle that the config names, from another machine.

        InputError where it names none of that name, or the file is not there.
        """
        if name not in self.imports:
            raise InputError(f"bundle {name} is not in the config; add it to imports")
        file = str(self.imports[name]["file"])
        if not Path(file).is_file():
            raise InputError(
                f"config: imports.{name}.file: {file}: no such file; give the bundle's path, or "
                "take it out of imports"
            )
        return file

    def bundle_outline(self, name: str) -> str:
        """What tells a bundle from others; nothing that a command is given."""
        return outline(Path(self.bundle(name)))

    def weights_source(self, file: str) -> str:
        """Where published weights are and what is known of them, as JSON."""
        return json.dumps(asdict(self.weights[file]))

    def published(self, option: str, file: str | None) -> list[str]:
        """Options by which a script checks published weights, by hand or not; none for others."""
        if file is None or file not in self.weights:
            return []
        return [option, self.weights_source(file), "--lock", self.config["downloads"]["lock"]]
