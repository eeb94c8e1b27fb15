"""Validation of the config, names of files, and what the rules ask of the config."""

import json
import os
import sys
from pathlib import Path

from semask.config import check_config
from semask.data import cityscapes
from semask.errors import InputError
from semask.provenance import source_digest

try:
    check_config(config, Path(workflow.basedir, "schemas", "config.schema.yaml"))
except InputError as fault:
    sys.exit(f"error: {fault}")

# The environment that snakemake runs in also runs the rules, whether it is active or not; with
# --sdm conda the rules' own environments come before it.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]]
)
RESULTS = config["results"]
ROOT = config["dataset"]["root"]
LABELS = config["dataset"]["labels"]
RUN = f"{RESULTS}/{{device}}-{{processes}}p/{{mode}}/seed{{seed}}"


envvars:
    "PATH",


wildcard_constraints:
    split="|".join(cityscapes.SPLITS),
    city="[^/]+",
    device="cpu|gpu|npu",
    processes="[1-9][0-9]*",
    mode="full|performance",
    seed="[0-9]+",


def get_code_of(script, leave_out=()):
    """Digest of the source files that a script runs, so that editing them runs its rule again."""
    return source_digest(f"workflow_scripts.{script}", leave_out)


def get_root(wildcards):
    """Folder of the data set."""
    return ROOT


def get_labels_folder(wildcards):
    """Folder of the converted labels."""
    return LABELS


def get_cities(split):
    """Cities of a split as they are on disk, known once the data set is there."""
    checkpoints.dataset.get()
    try:
        return cityscapes.cities_of(Path(ROOT), split)
    except InputError as fault:
        sys.exit(f"error: {fault}")


def get_sources_of(wildcards):
    """Images and annotations of a city; a file that is added or changed converts it again."""
    checkpoints.dataset.get()
    return [
        str(path)
        for path in cityscapes.sources_of(Path(ROOT), wildcards.split, wildcards.city)
    ]


def get_city_manifests_of(wildcards):
    """Manifests of all cities of a split."""
    return expand(
        f"{LABELS}/{{{{split}}}}/{{city}}.json", city=get_cities(wildcards.split)
    )


def get_row_of(wildcards):
    """The config's row that a run belongs to."""
    for row in config["rows"]:
        if (row["device"], str(row["processes"])) == (
            wildcards.device,
            wildcards.processes,
        ):
            return row
    sys.exit(
        f"error: row {wildcards.device}-{wildcards.processes}p is not in the config; add it to "
        "rows, or ask for one that is there"
    )


def get_present_processes_of(wildcards):
    """Number of processes of a run, checked against the devices of this machine.

    Snakemake shrinks a request that the machine cannot meet; this stops instead. Not checked where
    nothing is run here: in a dry run, and where another executor runs the jobs.
    """
    row = get_row_of(wildcards)
    if row["device"] != "cpu" and not workflow.non_local_exec_or_dryrun:
        from semask.device import require

        try:
            require(row["device"], row["processes"])
        except InputError as fault:
            sys.exit(f"error: {fault}")
    return row["processes"]


def get_train_config():
    """What training reads of the config, as JSON."""
    keys = ("experiment", "model", "training", "loader", "performance")
    return json.dumps(
        {"dataset": config["dataset"]["name"], **{k: config[k] for k in keys}}
    )


def get_cores_of(wildcards):
    """Cores that a run keeps busy: the threads of its processes."""
    row = get_row_of(wildcards)
    return row["processes"] * row["threads"]


def get_all_cores(wildcards):
    """All cores: beside a run that measures speed nothing else may run."""
    return workflow.cores or get_cores_of(wildcards)


def get_count_of(device):
    """Number of devices of a kind that a run holds."""

    def count(wildcards):
        row = get_row_of(wildcards)
        return row["processes"] if row["device"] == device else 0

    return count


def get_runs(file, *modes):
    """A file of every run in some modes, in the config's order."""
    return [
        f"{RESULTS}/{row['device']}-{row['processes']}p/{mode}/seed{seed}/{file}"
        for row in config["rows"]
        for mode in row["modes"]
        for seed in row["seeds"]
        if mode in modes
    ]
