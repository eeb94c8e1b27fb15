"""What a Snakemake looks at, and sets, before it plans anything."""

import json
import os
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.signals import JOB
from semask.config.layers import read_layer, typed
from semask.devices import variables
from semask.workflow.places import check_folders


def layers_of(paths: Sequence[Path], settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of a config: config.yaml, overlays and `--config`.

    InputError where a file is no layer, or a record stands where an overlay is expected.
    """
    layers = [read_layer(path) for path in paths]
    for path, layer in zip(paths, layers, strict=True):
        if {"schema", "kind", "digest"} <= {*layer}:
            raise InputError(
                f"{path}: a record, which was taken for a config file because it follows "
                "--configfile; put -- before targets"
            )
    return [*layers, typed(settings)]


def check_surroundings(folder: Path, config: Mapping[str, Any], conda: bool) -> None:
    """Look at what would only be noticed in a job, perhaps after days of training.

    The folder is the checkout's; with conda, rules have environments of their own. InputError where
    the checkout's or the interpreter's folder has a name that cannot be borne, the working
    directory cannot be written, a package is missing, or a variable would change what is measured.
    """
    if re.search("[{}]", str(folder)):
        raise InputError(
            f"{folder}: snakemake takes braces in the name of a folder for wildcards; move the "
            "checkout to a folder without them"
        )
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{folder}: this folder's name is no text in the encoding of your language "
            f"({sys.getfilesystemencoding()}); set LC_ALL to one that has it, such as C.UTF-8, or "
            "move the checkout"
        ) from None
    # Snakemake's own notes
    check_folders({"the working directory": ".snakemake"})
    variables.check(accepted=config["surroundings"]["accept"])
    if config["evaluation"]["agreement"] and not conda and not find_spec("cityscapesscripts"):
        raise InputError(
            "config: evaluation.agreement: cityscapesscripts is not installed; run pip install "
            "'.[cityscapes]', or set evaluation.agreement to false"
        )
    if os.pathsep in str(Path(sys.executable).parent):
        raise InputError(
            f"{sys.executable}: a folder with {os.pathsep!r} in its name cannot be on PATH; set up "
            "the virtual environment in another one"
        )


def set_environment(environment: MutableMapping[str, str], accepted: Sequence[str] = ()) -> None:
    """Set what jobs inherit; `accepted` are variables that the config accepts.

    The environment that snakemake runs in also runs the rules, whether it is active or not; with
    `--sdm conda` the rules' own environments come before it. Jobs end with the workflow that
    started them, so that none writes after the next one has begun.
    """
    here = str(Path(sys.executable).parent)
    # without any, a shell that is started looks in these, and tells nobody
    environment["PATH"] = os.pathsep.join([here, environment.get("PATH") or os.defpath])
    environment[JOB] = str(os.getpid())
    environment[variables.ACCEPTED] = ",".join(accepted)


def without(settings: str, *keys: str) -> str:
    """Settings, a JSON object, less what changes no result and is no reason to run again.

    A key of a part is `part.key`.
    """
    kept = json.loads(settings)
    for key in keys:
        *parts, last = key.split(".")
        reduce(lambda of, part: of[part], parts, kept).pop(last, None)
    return json.dumps(kept)


def words(option: str, value: Any) -> Sequence[Any]:
    """An option with its value as words of a shell line; none where there is no value."""
    return [option, value] if value else []
