"""What the place lacks where jobs are about to run: who may write, memory, cores, a compiler.

Each would otherwise be noticed in the middle of a run, in a library's words, or by waiting. What
Snakemake itself stumbles over before it reads the Snakefile (a home that nobody may write to, a
user without a name) is up to `make` and the images, which set HOME or XDG_CACHE_HOME and USER.
"""

import json
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.row_names import folder_of, row_folder
from semask.config.recipe import accumulation_of, global_batch_of
from semask.data import AHEAD, IMAGES_AHEAD
from semask.devices.addresses import loopback
from semask.devices.conditions import USABLE_CORES
from semask.workflow import released_plan
from semask.workflow.plan import Plan

_SHARED = "/dev/shm"  # noqa: S108  # where Linux keeps memory that processes share
_MIB = 2**20
# what shlex takes apart, in paths that torch does not quote
_ODD = re.compile(r"""[\s'"\\]""")


def check(workflow: Any, plan: Plan, warn: Callable[[str], object]) -> None:
    """Look at this machine, on which Snakemake is about to run jobs of its planned workflow.

    Of what runs all the same `warn` is told, in a line. InputError where a folder cannot be
    written, or a row that is to be run lacks something.
    """
    config, rows = plan.config, {row_folder(row): row for row in plan.config["rows"]}
    check_folders({"results": plan.results, "dataset.labels": config["dataset"]["labels"]})
    jobs: dict[Any, tuple[str, Mapping[str, Any]]] = {}
    for job in workflow.dag.needrun_jobs():
        rule, one = job.rule.name, job.wildcards_dict
        if "processes" in one:
            folder = folder_of(one["device"], one["processes"], one.get("planted", ""))
            jobs[folder, rule] = rule, rows[folder]
        elif rule == "released":
            chosen = json.loads(released_plan.config(plan, one["variant"]))
            # what it takes of the experiment's config is the variant's own
            check_rows({**config, "evaluation": chosen["evaluation"]}, [(rule, chosen["row"])])
    for line in crowded([row for _, row in jobs.values()], len(USABLE_CORES)):
        warn(line)
    check_rows(config, [*jobs.values()])


def check_folders(folders: Mapping[str, str]) -> None:
    """Check that something can be written to folders, by keys of the config, or where they go.

    InputError, where not, says whose folder it is and who tries to write.
    """
    for key, name in folders.items():
        folder = Path(name).absolute()
        while not folder.exists():
            folder = folder.parent
        if os.access(folder, os.W_OK | os.X_OK):
            continue
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise InputError(f"{key}: {folder} is on a disk that is read-only; give another folder")
        owner, user = folder.stat().st_uid, os.getuid()
        if owner == user:
            raise InputError(
                f"{key}: {folder} is of user {_named(user)}, who runs this, and is not to be "
                "written; change its permissions (chmod u+rwx), or give another folder"
            )
        raise InputError(
            f"{key}: {folder} belongs to user {_named(owner)}, and user "
            f"{_named(user)}, who runs this, may not write there; give a folder of that "
            "user's own, or run as the other (containers: podman --userns keep-id, "
            'docker --user "$(id -u):$(id -g)")'
        )


def _named(user: int) -> str:
    with suppress(KeyError):
        return f"{user} ({pwd.getpwuid(user).pw_name})"
    return f"{user}"


def check_rows(config: Mapping[str, Any], jobs: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Check that the rows of jobs, rules and their rows, find here what they need beside devices.

    InputError where memory that processes share, a loopback or a compiler is missing.
    """
    for rule, row in jobs:
        _check_shared_memory(config, rule, row)
        if row["processes"] > 1:
            loopback()
    compiled = {row["device"] for rule, row in jobs if rule != "released"}
    _check_compilers(compiled & {*config["execution"]["compile"]})


def crowded(rows: Iterable[Mapping[str, Any]], cores: int) -> list[str]:
    """What is to be said of rows of a CPU with more than twice as many processes as it has cores.

    They run, as small ones are meant to on any machine; of so many nobody may have thought.
    """
    names = {row_folder(row): row["processes"] for row in rows if row["device"] == "cpu"}
    return [
        f"rows: {name}: {processes} processes share {cores} core{'s' * (cores > 1)}, are slow, and "
        f"their FPS says nothing of {processes}; use fewer, or run this on a larger machine"
        for name, processes in names.items()
        if processes > 2 * cores
    ]


def _check_shared_memory(config: Mapping[str, Any], rule: str, row: Mapping[str, Any]) -> None:
    """Processes that load leave there what they have ready: batches of crops, or whole images.

    Each job is looked at by itself: what others that run at the same time keep there is not
    counted, nor labels that are larger than the scale of the evaluation.
    """
    workers, processes = config["loader"]["workers"], row["processes"]
    ready = _ready_for(rule, config, processes)
    needed = processes * workers * sum(ready.values())
    free = 0
    with suppress(OSError):
        found = os.statvfs(_SHARED)
        free = found.f_bavail * found.f_frsize
    if needed > free:
        fewer = ", or a training.batch.micro_batch" * ("batches" in ready)
        raise InputError(
            f"loader.workers: {workers} for each process of {row_folder(row)} keep "
            f"{' and '.join(ready)} of {needed / _MIB:.1f} MiB in {_SHARED}, where "
            f"{free / _MIB:.1f} MiB are free; give it more (containers: --shm-size 16g), or use "
            f"fewer workers{fewer}"
        )


def _ready_for(rule: str, config: Mapping[str, Any], processes: int) -> dict[str, int]:
    """Bytes that one process that loads has ready, by what it is."""
    ready = {}
    if rule in ("train", "measure"):
        batch = config["training"]["batch"]
        passes = processes * accumulation_of(batch, processes)
        images = -(-global_batch_of(batch, processes) // passes)
        height, width = config["training"]["augmentation"]["crop"]
        # of a pixel three bytes of the image and one of the label
        ready["batches"] = AHEAD * images * height * width * 4
    if rule in ("train", "evaluate", "cross", "released"):
        width, height = config["evaluation"]["scale"]
        ready["images"] = IMAGES_AHEAD * height * width * 4
        views = config["evaluation"]["multi_scale"]
        if views is not None and rule in ("evaluate", "released"):
            shown = sum(round(width * r) * round(height * r) for r in {*views["ratios"]})
            ready["images"] = max(ready["images"], 3 * shown + width * height)
    return ready


def _check_compilers(devices: set[str]) -> None:
    if "cpu" in devices:
        # as torch looks for it
        _require("cpu", "C++", [os.environ.get("CXX", "g++")])
        torch = find_spec("torch")
        places = torch.submodule_search_locations if torch is not None else None
        own = os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()
        for place, advice in (
            *((place, "set up the virtual environment elsewhere") for place in places or ()),
            (own, "set TMPDIR to another folder"),
        ):
            if _ODD.search(place):
                raise InputError(
                    f"execution.compile: in {place!r} torch cannot compile for a CPU, since there "
                    f"is a space, a quote or a backslash in its name; {advice}, or take cpu out"
                )
    if "gpu" in devices:
        # Triton's launchers are of C
        named = os.environ.get("CC")
        _require("gpu", "C", [named] if named else ["gcc", "clang", "cc"])


def _require(device: str, language: str, compilers: Sequence[str]) -> None:
    if not any(map(shutil.which, compilers)):
        raise InputError(
            f"execution.compile: for a {device} torch needs a compiler for {language}, and there "
            f"is no {' or '.join(compilers)}; install one, or take {device} out"
        )
