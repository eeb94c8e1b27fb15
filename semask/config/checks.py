"""Checks of the merged configuration: the schema, then what one key says about another."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem, gt
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.row_names import row_folder
from semask.base.schema_faults import first_fault
from semask.config.layers import assemble, bundles_of, read_schema, variant_names
from semask.config.sizes import check_sizes
from semask.data import sets


def check_all(layers: Sequence[Mapping[str, Any]], schema_file: Path) -> dict[str, Any]:
    """The chosen configuration, after a check of it and of each variant, which InputError names."""
    config = assemble(layers)
    check_config(config, schema_file)
    for name in variant_names(layers):
        try:
            check_config(assemble(layers, name), schema_file)
        except InputError as fault:
            raise InputError(
                str(fault).replace("config: ", f"config: with variant {name}: ", 1)
            ) from None
    return config


def _check_mirrors(config: Mapping[str, Any]) -> None:
    """Looks for logins before anything is said of the values, recorded, or put on a command line.

    `semask.fetching.transfer.mirrored` refuses them, too, but only after all of this.
    """
    downloads = config.get("downloads")
    mirrors = downloads.get("mirrors") if isinstance(downloads, Mapping) else None
    for start, mirror in mirrors.items() if isinstance(mirrors, Mapping) else ():
        if any("@" in str(url).partition("://")[2].partition("/")[0] for url in (start, mirror)):
            raise InputError(
                "config: downloads.mirrors: a URL with a login in it; put the login into ~/.netrc"
            )


def check_config(config: Mapping[str, Any], schema_file: Path) -> None:
    """Check a merged configuration; InputError names the key, what is wrong and what is allowed."""
    _check_mirrors(config)
    fault = first_fault(dict(config), read_schema(schema_file))
    if fault is not None:
        raise InputError(f"config: {fault}")
    _check_dataset(config["dataset"], config["model"]["num_classes"])
    _check_rows(config["rows"])
    _check_planted(config)
    _check_performance(config["performance"])
    if config["numerics"]["shared_chance"] and config["execution"]["compile"]:
        raise InputError(
            "config: numerics.shared_chance: draws on the host what a compiled step would draw "
            "itself; set it to false, or execution.compile to []"
        )
    _check_augmentation(config["training"]["augmentation"])
    check_sizes(config)
    precision, fixed = config["training"]["precision"], config["port_faults"]["fixed_loss_scale"]
    if fixed is not None and precision != "fp16":
        raise InputError(
            f"config: port_faults.fixed_loss_scale: {fixed} is for precision fp16; "
            f"with {precision} set it to null"
        )
    _check_evaluation(config["evaluation"], config["dataset"]["name"])
    _check_paths(config)


def _resolved(key: str, folder: str) -> Path:
    try:
        return Path(folder).resolve()
    except (OSError, RuntimeError) as fault:  # too long, or a link to itself
        raise InputError(f"config: {key}: {folder} is no folder ({fault}); give another") from None


# keys of files and folders, beside those of released weights and of bundles
_PATHS = (
    *("results", "dataset.root", "dataset.labels", "dataset.prepared", "downloads.lock"),
    *("downloads.weights", "model.pretrained", "bundle.sign", "imports.allowed_signers"),
)


def _check_paths(config: Mapping[str, Any]) -> None:
    """Refuses names of files and folders that Snakemake or a command line cannot bear."""
    paths: dict[str, Any] = {key: reduce(getitem, key.split("."), config) for key in _PATHS}
    released = (config["released"] or {}).get("weights", {})
    paths |= {f"released.weights.{name}": path for name, path in released.items()}
    paths |= {f"imports.{name}.file": of["file"] for name, of in bundles_of(config).items()}
    for key, path in paths.items():
        if path is not None and (fault := _fault_of(path)):
            raise InputError(f"config: {key}: {path!r} {fault}")
    own = Path(config["results"], config["variant"] or "", "bundle.zip")
    for name, of in bundles_of(config).items():
        if _resolved(f"imports.{name}.file", of["file"]) == _resolved("results", str(own)):
            raise InputError(
                f"config: imports.{name}.file: {own} is where this machine packs its own bundle; "
                "copy the other's to another place"
            )
    # Snakemake looks for a file by the shortest form of its name
    for key in ("results", "dataset.labels", "dataset.prepared", "downloads.weights"):
        file = f"{paths[key]}/file"
        if paths[key] is not None and os.path.normpath(file) != file:
            shortest = os.path.normpath(paths[key])
            advice = "give a folder of its own" if shortest == "." else f"write it as {shortest!r}"
            raise InputError(f"config: {key}: {paths[key]!r}: {advice}")
    _check_folders(paths)


def _fault_of(path: str) -> str | None:
    """What is wrong with a path, and what to do."""
    if "{" in path or "}" in path:
        return "has braces in it, which Snakemake takes for wildcards; use another name"
    if path.startswith("~"):
        return "starts with ~, which only a shell knows; write the folder's whole name"
    if path.startswith("-"):
        return "starts like an option of a command; write its whole name, from / on"
    if "://" in path:
        return "is a URL; give a path on this machine"
    if "\0" in path or path.encode(errors="ignore").decode() != path:  # halves of characters
        return "cannot be the name of a file; use another one"
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return (
            "has characters that the encoding of your language "
            f"({sys.getfilesystemencoding()}) lacks; use another name, or a language with UTF-8, "
            "such as LC_ALL=C.UTF-8"
        )
    return None


def _check_folders(paths: Mapping[str, Any]) -> None:
    root, prepared = paths["dataset.root"], paths["dataset.prepared"]
    written = {key: paths[key] for key in ("dataset.labels", "results", "downloads.weights")}
    if prepared is not None:
        for key, folder in {"dataset.root": root, **written}.items():
            if _resolved(key, folder).is_relative_to(_resolved("dataset.prepared", prepared)):
                raise InputError(
                    f"config: dataset.prepared: {prepared} is or holds {key}, {folder}; give a "
                    "folder of its own"
                )
        written["dataset.prepared"] = prepared
    places: dict[Path, str] = {}
    for key, folder in written.items():
        other = places.setdefault(_resolved(key, folder), key)
        if other != key:
            raise InputError(
                f"config: {key}: {folder} is the folder of {other}, too; give each one of its own"
            )
        if _resolved(key, folder).is_relative_to(_resolved("dataset.root", root)):
            raise InputError(
                f"config: {key}: {folder} lies within dataset.root, which is never written to; "
                "give a folder outside of it"
            )


def _check_dataset(dataset: Mapping[str, Any], num_classes: int) -> None:
    name = dataset["name"]
    try:
        found = sets.load(name)
    except InputError as fault:
        raise InputError(f"config: {fault}") from None
    if num_classes != len(found.CLASSES):
        raise InputError(
            f"config: model.num_classes: {num_classes}, but {name} has {len(found.CLASSES)} "
            f"classes; set it to {len(found.CLASSES)}"
        )
    if dataset["complete"] and not found.IMAGES:
        raise InputError(
            f"config: dataset.complete: nothing is published of {name} to compare it with; "
            "set it to false"
        )


def _check_rows(rows: list[dict[str, Any]]) -> None:
    names = [row_folder(row) for row in rows]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(
                f"config: rows.{number}: {name} is there twice; give one row all its modes and "
                "seeds"
            )


def _check_planted(config: Mapping[str, Any]) -> None:
    """Refuses planted faults but in demonstrations, and there those that would change nothing."""
    for number, row in enumerate(config["rows"]):
        fault = row.get("planted_fault")
        if fault is None:
            continue
        key = f"config: rows.{number}.planted_fault: {fault}"
        if not config["demonstration"]:
            raise InputError(
                f"{key} is for demonstrations, whose figures are wrong on purpose; take it out, or "
                "set demonstration to true"
            )
        if fault == "gradients_not_averaged" and row["processes"] == 1:
            raise InputError(f"{key}: with 1 process nothing is averaged; give the row 2")
        if fault == "drop_path_never_fires" and not config["model"]["drop_path"]:
            raise InputError(f"{key}: model.drop_path is 0: it never fires anyway; set it to 0.2")
        if row["device"] in config["execution"]["compile"]:
            raise InputError(
                f"{key}: is planted in what is not compiled; take {row['device']} out of "
                "execution.compile"
            )


def _check_performance(performance: Mapping[str, Any]) -> None:
    length, warmup = performance["iterations"], performance["warmup_iterations"]
    if warmup >= length:
        raise InputError(
            f"config: performance.warmup_iterations: {warmup} leaves nothing of "
            f"performance.iterations: {length}; use fewer"
        )
    window = performance["log_window"]
    if window["ends_at"] > length or window["length"] > window["ends_at"]:
        raise InputError(
            f"config: performance.log_window: {window['length']} iterations that end at "
            f"{window['ends_at']} do not lie in a run of {length}"
        )


def _check_augmentation(augmentation: Mapping[str, Any]) -> None:
    """Among others, refuses a crop that no image can hold, before an earlier run is replaced.

    Images are fitted into the scale, whatever their orientation; the trainer looks at their sizes.
    """
    key = "config: training.augmentation"
    between = augmentation["ratio_range"]
    if (between is None) == (augmentation["ratios"] is None):
        raise InputError(f"{key}: one of ratio_range and ratios must be given, the other null")
    if between is not None and between[0] > between[1]:
        raise InputError(f"{key}.ratio_range: {between[0]} is above {between[1]}")

    crop, scale = augmentation["crop"], augmentation["scale"]
    if min(crop) > min(scale) or max(crop) > max(scale):
        raise InputError(
            f"{key}.crop: {crop} (height, width) is larger than any image "
            f"that is fitted into training.augmentation.scale, {scale} (width, height); use a "
            "smaller crop or a larger scale"
        )


# data sets in the label format that cityscapesscripts evaluates
_CITYSCAPES_FORMAT = ("streets", "cityscapes")


def _check_evaluation(evaluation: Mapping[str, Any], dataset: str) -> None:
    window = evaluation["sliding_window"]
    if window is not None and any(map(gt, window["stride"], window["size"])):
        raise InputError(
            f"config: evaluation.sliding_window.stride: {window['stride']} leaves gaps between "
            f"windows of size {window['size']}; use at most the size"
        )
    if evaluation["agreement"] and not evaluation["save_predictions"]:
        raise InputError(
            "config: evaluation.agreement: checks the saved predictions; set "
            "evaluation.save_predictions to true, too"
        )
    if evaluation["agreement"] and dataset not in _CITYSCAPES_FORMAT:
        raise InputError(
            f"config: evaluation.agreement: cityscapesscripts cannot evaluate {dataset}; one of: "
            f"{', '.join(_CITYSCAPES_FORMAT)}, or set it to false"
        )
