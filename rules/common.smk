"""Validation of the config, names of files, and what the rules ask of the config."""

import json
import os
import re
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.logging import logger
from snakemake.settings.types import DeploymentMethod

from semask.comparison.bundle import outline
from semask.config.layers import assemble, typed
from semask.config.checks import check_all
from semask.data import sets
from semask.base.errors import InputError
from semask.base.provenance import source_digest
from semask.comparison.published import read_sources
from semask.report.sections import CAPTIONS, PLOTS
from semask.devices.slurm import share
from semask.training.workdir import clear as clear_workdir
from semask.workflow import guard, head, results, view

SCHEMA = Path(workflow.basedir, "schemas", "config.schema.yaml")
for path in workflow.config_settings.configfiles:
    if {"schema", "kind", "digest"} <= load_configfile(path).keys():
        sys.exit(
            f"error: {path}: a record, which was taken for a config file because it follows "
            "--configfile; put -- before targets"
        )
LAYERS = [
    load_configfile(path)
    for path in (
        Path(workflow.basedir, "config.yaml"),
        *workflow.config_settings.configfiles,
    )
] + [typed(workflow.config_settings.config)]
try:
    config = check_all(LAYERS, SCHEMA)
except InputError as fault:
    sys.exit(f"error: {fault}")

if re.search("[{}]", str(workflow.basedir)):
    sys.exit(
        f"error: {workflow.basedir}: snakemake takes braces in the name of a folder for "
        "wildcards; move the checkout to a folder without them"
    )

# now, not after days of training; with --sdm conda the rules' environments have it
if config["evaluation"]["agreement"] and not find_spec("cityscapesscripts"):
    if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
        sys.exit(
            "error: config: evaluation.agreement: cityscapesscripts is not installed; "
            "run pip install '.[cityscapes]', or set evaluation.agreement to false"
        )

if os.pathsep in str(Path(sys.executable).parent):
    sys.exit(
        f"error: {sys.executable}: a folder with {os.pathsep!r} in its name cannot be on PATH; "
        "set up the virtual environment in another one"
    )

# The environment that snakemake runs in also runs the rules, whether it is active or not; with
# --sdm conda the rules' own environments come before it.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ["PATH"]]
)
# jobs end with the workflow that started them, so that none writes after the next one has begun
os.environ[guard.JOB] = str(os.getpid())
QUIET = {str(about) for about in workflow.output_settings.quiet or ()}
if not workflow.dryrun:
    # also the Snakemakes that a cluster's jobs consist of
    head.heed_warnings()
    if workflow.is_main_process:
        head.take(Path(".snakemake"))
        view.let_errors_through(QUIET, logger)

RESULTS = config["results"]
if config["variant"] is not None:
    RESULTS = f"{RESULTS}/{config['variant']}"
ROOT = config["dataset"]["root"]
LABELS = config["dataset"]["labels"]
PREPARED = config["dataset"]["prepared"]
RELEASED = f"{config['results']}/released"
DATASET = sets.load(config["dataset"]["name"])
WEIGHTS = config["downloads"]["weights"]
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
RUN = f"{RESULTS}/{{device}}-{{processes}}p/{{mode}}/seed{{seed}}"


try:
    PUBLISHED_WEIGHTS = read_sources(Path(workflow.basedir, "published", "weights.csv"))
except InputError as fault:
    sys.exit(f"error: {fault}")


envvars:
    "PATH",


wildcard_constraints:
    split="|".join(sets.SPLITS),
    part="[^/]+",
    device="cpu|gpu|npu",
    processes="[1-9][0-9]*",
    mode="full|performance",
    variant="[a-z0-9_]+",
    bundle="[A-Za-z0-9_-]+",
    seed="[0-9]+",


def stop(message):
    """End Snakemake with a message, also while jobs run: it says nothing of an exit's message."""
    print(message, file=sys.stderr, flush=True)
    sys.exit(1)


def get_code_of(script, leave_out=(), also=()):
    """Digest of the source files that a script runs, so that editing them runs its rule again."""
    return source_digest(f"workflow_scripts.{script}", leave_out, also)


def get_root(wildcards):
    """Folder of the data set."""
    return ROOT


def get_labels_folder(wildcards):
    """Folder of the converted labels."""
    return LABELS


def get_dataset_config():
    """What making or looking at the data set reads of the config, as JSON."""
    keys = ("name", "root", config["dataset"]["name"])
    return json.dumps(
        {key: config["dataset"][key] for key in keys if key in config["dataset"]}
    )


def get_archives(wildcards):
    """Archives of the data set and what is known of them, as JSON."""
    if not DATASET.ARCHIVES:
        stop(
            f"error: config: dataset.download: there is nothing to download for data set "
            f"{config['dataset']['name']}; set it to false"
        )
    return json.dumps([asdict(archive) for archive in DATASET.ARCHIVES])


def get_download(wildcards):
    """List of the archives that were unpacked; nothing where the folder is the user's own."""
    # unpacked once and for all: another mirror or edited code is no reason to start anew
    list_of_archives = local(f"{LABELS}/download.json")
    return ancient(list_of_archives) if config["dataset"]["download"] else []


def get_weights_source_of(wildcards):
    """Where weights are and what is known of them, as JSON."""
    return json.dumps(asdict(PUBLISHED_WEIGHTS[wildcards.file]))


def get_parts(split):
    """Parts of a split as they are on disk, known once the data set is there."""
    checkpoints.dataset.get()
    try:
        return sets.parts_of(DATASET, Path(ROOT), split)
    except InputError as fault:
        stop(f"error: {fault}")


def get_sources_of(wildcards):
    """Images and annotations of a part; a file that is added or changed converts it again."""
    checkpoints.dataset.get()
    try:
        sources = sets.sources_of(DATASET, Path(ROOT), wildcards.split, wildcards.part)
    except InputError as fault:
        stop(f"error: {fault}")
    return [local(source) for source in sources]


def get_part_manifests_of(wildcards):
    """Manifests of all parts of a split."""
    return [
        local(f"{LABELS}/{wildcards.split}/{part}.json")
        for part in get_parts(wildcards.split)
    ]


def get_published(wildcards):
    """What the splits must be if the data set has to be complete, as JSON."""
    if not config["dataset"]["complete"]:
        return "null"
    return json.dumps({"images": DATASET.IMAGES, "size": DATASET.SIZE})


def get_row_of(wildcards):
    """The config's row that a run belongs to."""
    for row in config["rows"]:
        if (row["device"], str(row["processes"])) == (
            wildcards.device,
            wildcards.processes,
        ):
            return row
    stop(
        f"error: row {wildcards.device}-{wildcards.processes}p is not in the config; add it to "
        "rows, or ask for one that is there"
    )


def get_present_processes_of(record):
    """Number of processes of a run, checked against the devices of this machine.

    Snakemake shrinks a request that the machine cannot meet; this stops instead. Not checked for a
    run whose record, <mode>/<file>, is there, perhaps from the machine that has the device.
    """
    mode, file = record.split("/")

    def processes(wildcards):
        row = get_row_of(wildcards)
        name = f"{row['device']}-{row['processes']}p"
        path = f"{RESULTS}/{name}/{mode}/seed{wildcards.seed}/{file}"
        return check_present(row, path, f"rows: {name}")

    return processes


def check_present(row, record, asked_by):
    """Number of processes of a row, after a look whether their devices are here.

    Not looked where nothing is run here: when the plan is only shown, and where another executor
    runs the jobs. In a job the launcher looks.
    """
    runs_here = (
        workflow.is_main_process
        and workflow.executor_plugin is not None
        and not workflow.non_local_exec_or_dryrun
    )
    if row["device"] != "cpu" and runs_here and not exists(record):
        from semask.devices.presence import require

        try:
            require(row["device"], row["processes"], asked_by)
        except InputError as fault:
            stop(f"error: {fault}")
    return row["processes"]


def get_model_of(chosen):
    """The model's settings, less the weights that its training starts from."""
    return {k: v for k, v in chosen["model"].items() if k != "pretrained"}


def get_train_config():
    """What training reads of the config, as JSON."""
    keys = (
        "experiment",
        "training",
        "numerics",
        "execution",
        "port_faults",
        "loader",
        "performance",
    )
    # how weights are scored on the way decides which ones are the best
    scoring = {k: config["evaluation"][k] for k in ("scale", "sliding_window")}
    return json.dumps(
        {
            "dataset": config["dataset"]["name"],
            "model": get_model_of(config),
            **{key: config[key] for key in keys},
            "evaluation": scoring,
        }
    )


def get_prepared():
    """List of what was stored as plain arrays; nothing where the data set's own files are read."""
    # the same images and labels: no reason to train again
    return [] if PREPARED is None else ancient(local(f"{PREPARED}/train.json"))


def get_prepared_option(wildcards, input):
    """The trainer's option for the folder of those arrays."""
    return ["--prepared", PREPARED] if input.prepared else []


def get_pretrained():
    """File of the weights that training starts from; none where it starts from random ones."""
    given = config["model"]["pretrained"]
    if given is None:
        return []
    if given in PUBLISHED_WEIGHTS:
        # checked by digest, so a file that is fetched again is the same: no reason to train again
        return ancient(local(f"{WEIGHTS}/{given}"))
    if not Path(given).is_file():
        stop(
            f"error: config: model.pretrained: {given}: no such file, and not a name in "
            f"published/weights.csv, which has {', '.join(list(PUBLISHED_WEIGHTS)[:4])}, …"
        )
    return local(given)


def get_pretrained_option(wildcards, input):
    """The trainer's option for those weights."""
    return ["--pretrained", input.pretrained] if input.pretrained else []


def get_fallbacks_option(wildcards):
    """The option under which an operator that the NPU lacks is an error; for NPU rows only."""
    forbidden = wildcards.device == "npu" and config["npu"]["forbid_fallbacks"]
    return ["--forbid-fallbacks"] if forbidden else []


def get_environment_of(wildcards):
    """Conda environment of a row: GPU rows beside NPU rows have the NPU's version of torch."""
    devices = {row["device"] for row in config["rows"]}
    beside = wildcards.device == "gpu" and "npu" in devices
    return f"../envs/{'gpu_beside_npu' if beside else wildcards.device}.yaml"


def get_attempt(wildcards, attempt):
    """Which attempt of a job it is, from 1; more than one where `retries` allows them."""
    return attempt


# Snakemake takes a param that is made from resources for one that they decide, and does not run a
# job again when it changes: how a run guards against interruptions changes no result.


def get_fault_tolerance(wildcards, resources):
    """How a run guards against interruptions, as JSON."""
    return json.dumps(config["fault_tolerance"])


def get_nodes(wildcards, resources):
    """Nodes of a cluster that a run is spread over, as a cluster's profile sets the resource."""
    nodes = resources.get("nodes", 1)
    if "processes" in wildcards.keys():
        name = f"rows: {wildcards.device}-{wildcards.processes}p"
        try:
            # now, not in a job that has waited for their devices
            share(int(wildcards.processes), nodes, name)
        except InputError as fault:
            stop(f"error: {fault}")
    return nodes


def get_stall_minutes(wildcards, resources):
    """After how long processes that do not move are ended."""
    return config["fault_tolerance"]["stall_minutes"]


def clear_work():
    """Clear the work directories of runs whose end Snakemake has noted by now."""
    if workflow.is_main_process:
        for record in get_runs("train.json", "full", "performance"):
            work = Path(record).parent / "work"
            if work.is_dir():
                clear_workdir(work, exists(record))


def show_results():
    """Put the report together and print the table, where it was among what was asked for."""
    made = [job.output for job in workflow.dag.jobs if job.rule.name == "table"]
    if workflow.is_main_process and made:
        html = Path(RESULTS, "report.html")
        # from a storage it would bring copies that Snakemake then takes for protected outputs
        stored = workflow.storage_settings.default_storage_provider is not None
        fault = None if stored else results.put_together(workflow, html)
        if not workflow.output_settings.quiet:
            print(results.shown(made[0], html), flush=True)
        if fault is not None:
            print(
                f"error: {html}: not made ({fault}); its first page is {made[0].page}",
                file=sys.stderr,
                flush=True,
            )


def wait_for_jobs_left():
    """Wait for what a Snakemake that was killed has left running on a cluster."""
    if workflow.executor_plugin and workflow.executor_plugin.name == "slurm":
        head.wait_for_jobs_left()


def show_view():
    """Show how far the workflow is, while it runs."""
    if workflow.is_main_process and not QUIET & {"progress", "all"}:
        view.start(workflow, config, RESULTS, logger.info)


def get_cores_of(wildcards):
    """Cores that a run keeps busy: the threads of its processes."""
    row = get_row_of(wildcards)
    return row["processes"] * row["threads"]


def get_evaluation_memory_of(wildcards):
    """MB of memory of an evaluation's processes; the measured ones are in docs/evaluation.md."""
    width, height = config["evaluation"]["scale"]
    images = width * height / (1024 * 2048)
    several = config["evaluation"]["multi_scale"]
    largest = max([1, *several["ratios"]]) if several else 1
    each = 1000 + images * (1000 * largest**2 + (1300 if several else 0))
    return int(get_row_of(wildcards)["processes"] * each)


def get_all_cores(wildcards):
    """All cores: beside a run that measures speed nothing else may run.

    On a cluster, where `--jobs` is given and not `--cores`, its profile sees to that.
    """
    return workflow.resource_settings.cores or get_cores_of(wildcards)


def get_cores_to_prepare(wildcards):
    """All cores; some where Snakemake knows of no number, since a cluster has them."""
    return workflow.resource_settings.cores or 8


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


def get_results(wildcards, input):
    """Folder that the results are in, or the copies of them that a storage provider brought."""
    return str(input[0]).removesuffix(get_bundled()[0].removeprefix(RESULTS))


def get_copies_option(wildcards, input):
    """The option for where a storage provider puts its copies; the table leaves it out of names."""
    if workflow.storage_settings.default_storage_provider is None:
        return []
    return ["--copies", str(input.facts).removesuffix(f"{RESULTS}/facts.json")]


def get_bundled():
    """What goes into a bundle: the records and logs of all rows; their weights if asked."""
    weights = (
        ("best.safetensors", "last.safetensors") if config["bundle"]["weights"] else ()
    )
    agreement = ("agreement.json",) if config["evaluation"]["agreement"] else ()
    of_full = ("evaluate.json", "predictions.png", *agreement, *weights)
    return [
        *(
            f
            for name in ("train.json", "log.jsonl")
            for f in get_runs(name, "full", "performance")
        ),
        *(f for name in of_full for f in get_runs(name, "full")),
    ]


def get_bundle_of(wildcards):
    """A bundle that the config names, from another machine."""
    if wildcards.bundle not in config["imports"]:
        stop(
            f"error: bundle {wildcards.bundle} is not in the config; add it to imports"
        )
    file = config["imports"][wildcards.bundle]["file"]
    if not Path(file).is_file():
        stop(
            f"error: config: imports.{wildcards.bundle}.file: {file}: no such file; give the "
            "bundle's path, or take it out of imports"
        )
    return local(file)


def get_bundle_outline(wildcards):
    """What tells a bundle from others; nothing that the command is given."""
    # not by way of the input: Snakemake would not compare a param that is made from it
    return outline(Path(get_bundle_of(wildcards)))


def get_bundle_digest_option(wildcards):
    """The option for what the other machine printed as the bundle's digest."""
    digest = config["imports"][wildcards.bundle]["digest"]
    return ["--digest", digest] if digest else []


def get_released():
    """How released checkpoints are scored."""
    if config["released"] is None:
        stop(
            "error: config: released: null, nobody released checkpoints for this experiment; "
            "give one that has some, such as --configfile experiments/cityscapes.yaml"
        )
    return config["released"]


def get_released_weights_of(wildcards):
    """A released checkpoint: the user's file, or the one that is fetched."""
    given = get_released().get("weights", {}).get(wildcards.variant)
    if given is not None and not Path(given).is_file():
        stop(
            f"error: config: released.weights.{wildcards.variant}: {given}: no such file"
        )
    name = f"semask_{wildcards.variant}_{config['dataset']['name']}.pth"
    return local(given) if given else ancient(local(f"{WEIGHTS}/{name}"))


def get_released_count_of(device):
    """Number of devices of a kind that scoring a released checkpoint holds."""
    return get_released()["processes"] if get_released()["device"] == device else 0


def get_released_processes_of(wildcards):
    """Number of processes that score a released checkpoint, checked as those of a row are."""
    record = f"{RELEASED}/{wildcards.variant}.json"
    return check_present(get_released(), record, "released.device")


def get_released_config_of(wildcards):
    """What scoring a released checkpoint reads of the config, as JSON."""
    try:
        chosen = assemble(LAYERS, wildcards.variant)
    except InputError as fault:
        stop(f"error: {fault}")
    row = {key: get_released()[key] for key in ("device", "processes", "threads")}
    evaluation = {
        key: chosen["evaluation"][key]
        for key in ("scale", "sliding_window", "multi_scale")
    }
    return json.dumps(
        {
            "experiment": chosen["experiment"],
            "dataset": chosen["dataset"]["name"],
            "row": row,
            "model": get_model_of(chosen),
            "numerics": chosen["numerics"],
            "evaluation": evaluation,
            "workers": chosen["loader"]["workers"],
            "forbid_fallbacks": row["device"] == "npu"
            and config["npu"]["forbid_fallbacks"],
        }
    )


def get_released_records(wildcards):
    """Records of all released checkpoints of the experiment."""
    get_released()
    variants = {name: None for layer in LAYERS for name in layer.get("variants") or {}}
    return [f"{RELEASED}/{name}.json" for name in variants]
