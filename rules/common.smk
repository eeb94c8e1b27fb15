"""semask.workflow.plan, names of files, and what only Snakemake knows: wildcards, files, its run."""

import json
import os
import re
import sys
from functools import wraps
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

from semask.base.errors import InputError
from semask.base.provenance import source_digest
from semask.base.row_names import PLANTED, as_recorded, row_folder
from semask.config.recipe import model_of
from semask.config.repeats import turn
from semask.data import sets
from semask.devices.slurm import share
from semask.report.sections import CAPTIONS, PLOTS
from semask.training import workdir
from semask.workflow import crossed, head, places, released_plan, results, signed, view
from semask.workflow.plan import Plan
from semask.workflow.start import check_surroundings, layers_of, set_environment, words

QUIET = {str(about) for about in workflow.output_settings.quiet or ()}
CONFIG_FILES = [
    Path(workflow.basedir, "config.yaml"),
    *workflow.config_settings.configfiles,
]
CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
try:
    PLAN = Plan.read(
        layers_of(CONFIG_FILES, workflow.config_settings.config),
        Path(workflow.basedir),
    )
    check_surroundings(Path(workflow.basedir), PLAN.config, CONDA)
except InputError as fault:
    sys.exit(f"error: {fault}")
config = PLAN.config
set_environment(os.environ, config["surroundings"]["accept"])
# also the Snakemakes that a cluster's jobs consist of
head.heed_warnings()
if workflow.is_main_process:
    # `workflow.dryrun` is known only later
    head.take(Path(".snakemake"), workflow.output_settings.dryrun)

RESULTS = PLAN.results
RELEASED = PLAN.released_folder
ROOT = config["dataset"]["root"]
LABELS = config["dataset"]["labels"]
# a function, for Snakemake takes braces in names for wildcards elsewhere
get_data = lambda wildcards: ["--root", ROOT, "--labels", LABELS]
PREPARED = config["dataset"]["prepared"]
WEIGHTS = config["downloads"]["weights"]
# but in demonstrations no rule makes the files of a row with a planted fault
ROW = f"{RESULTS}/{{device}}-{{processes}}p" + "{planted}" * config["demonstration"]
RUN = f"{ROW}/{{mode}}/seed{{seed}}"
# Under a default storage provider, everything is kept there that is not `local`. The data set and
# what is made of it are trees of files that rules read by their folders: their manifests stay
# beside them, on a volume that jobs see at the same place.
TRAIN_MANIFEST = local(f"{LABELS}/train.json")
VAL_MANIFEST = local(f"{LABELS}/val.json")
# needed, but a look at the same data from another side is no reason to train or score again
VERIFIED = ancient(local(f"{LABELS}/verified.json"))
# A cluster's job is a Snakemake, too, and the one that has sent it tries again: a job that was told to
# leave must not train on in its last minutes.
RETRIES = config["fault_tolerance"]["retries"] if workflow.is_main_process else 0


envvars:
    "PATH",


wildcard_constraints:
    split="|".join(sets.SPLITS),
    part="[^/]+",
    device="cpu|gpu|npu",
    processes="[1-9][0-9]*",
    planted=PLANTED,
    mode="full|performance",
    variant="[a-z0-9_]+",
    bundle="[A-Za-z0-9_-]+",
    seed="[0-9]+",


def told(function):
    """Have a fault of the user's end Snakemake with its line, also while jobs run."""

    @wraps(function)
    def answer(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except InputError as fault:
            # of an exit's message Snakemake says nothing
            print(f"error: {fault}", file=sys.stderr, flush=True)
            sys.exit(1)

    return answer


def get_code_of(script, leave_out=(), also=()):
    """Digest of the source files that a script runs, so that editing them runs its rule again."""
    return source_digest(f"workflow_scripts.{script}", leave_out, also)


def kept(file, fetched):
    """A file of the user's, or one that is checked by digest: fetched again it is the same."""
    return ancient(local(file)) if fetched else local(file)


@told
def get_parts(split):
    """Parts of a split as they are on disk, known once the data set is there."""
    checkpoints.dataset.get()
    return sets.parts_of(PLAN.dataset, Path(ROOT), split)


@told
def get_sources_of(wildcards):
    """Images and annotations of a part; a file that is added or changed converts it again."""
    checkpoints.dataset.get()
    sources = sets.sources_of(PLAN.dataset, Path(ROOT), wildcards.split, wildcards.part)
    # where nothing is kept elsewhere, a flag at each file would cost 6 % of a plan of many
    kept_elsewhere = workflow.storage_settings.default_storage_provider
    return [local(source) if kept_elsewhere else str(source) for source in sources]


@told
def get_row_of(wildcards):
    """The config's row that a run belongs to."""
    return PLAN.row(wildcards.device, wildcards.processes, wildcards.get("planted", ""))


@told
def check_present(row, record, asked_by):
    """A row, after a look whether its devices are here.

    Snakemake shrinks a request that the machine cannot meet; this stops instead. Not looked where
    the record is there, nor where nothing is run here: when the plan is only shown, and where
    another executor runs the jobs. In a job the launcher looks.
    """
    runs_here = (
        workflow.is_main_process
        and workflow.executor_plugin is not None
        and not workflow.non_local_exec_or_dryrun
    )
    if row["device"] != "cpu" and runs_here and not exists(record):
        from semask.devices.presence import require

        require(row["device"], row["processes"], asked_by)
    return row


def get_present_row_of(file):
    """A record's row, checked against this machine's devices; `file` is below the row's folder."""

    def present(wildcards):
        row = get_row_of(wildcards)
        name, record = row_folder(row), file.format(seed=wildcards.get("seed"))
        return check_present(row, f"{RESULTS}/{name}/{record}", f"rows: {name}")

    return present


def get_count_of(device, row_of=get_row_of):
    """Number of devices of a kind that a run holds."""
    return lambda wildcards: (
        row["processes"] if (row := row_of(wildcards))["device"] == device else 0
    )


def get_cores_of(wildcards):
    """Cores that a run keeps busy: the threads of its processes."""
    row = get_row_of(wildcards)
    return row["processes"] * row["threads"]


# What a param has of resources runs no job again: to guard against interruptions changes no result.


@told
def get_nodes(wildcards, resources):
    """Nodes of a cluster that a run is spread over, as a cluster's profile sets the resource."""
    nodes = resources.get("nodes", 1)
    if "processes" in wildcards.keys():
        # now, not in a job that has waited for their devices
        row = get_row_of(wildcards)
        share(row["processes"], nodes, f"rows: {row_folder(row)}")
    return nodes


def get_stall_minutes(wildcards, resources):
    """After how long processes that do not move are ended."""
    return config["fault_tolerance"]["stall_minutes"]
