"""What a bundle holds: the names of its files, and whether they belong together."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.records import SAME_RUN, kept_weights, read_record
from semask.base.row_names import FOLDER, row_folder
from semask.comparison.foreign import check_contents

KINDS = {
    "train.json": "train",
    "evaluate.json": "evaluate",
    "agreement.json": "agreement",
    "parity.json": "parity",
}
"""Kind of the records of runs and rows in a bundle, by the name of their file."""
LABEL_MAPS = "label_maps.zip"
OTHERS = ("log.jsonl", "predictions.png", LABEL_MAPS, "best.safetensors", "last.safetensors")

_PARITY = "parity.json"  # of a row, not of a run
_OF_RUN = "|".join(re.escape(name) for name in (*KINDS, *OTHERS) if name != _PARITY)
_CROSS = rf"cross/([A-Za-z0-9_-]+/)?{FOLDER}/seed[0-9]+\.(json|npz)"
FILE = re.compile(
    rf"{FOLDER}/((full|performance)/seed[0-9]+/({_OF_RUN})|{re.escape(_PARITY)}|{_CROSS})"
)


def kind_of(name: str) -> str | None:
    """Kind of the record that a file of a bundle is; None if it is another file."""
    if _is_cross(name):
        return "cross" if name.endswith(".json") else None
    return KINDS.get(Path(name).name)


def _is_cross(name: str) -> bool:
    return "/cross/" in name


def _place(name: str, record: Mapping[str, Any]) -> str:
    """The name that a record's file should have; `name` is the one that it has."""
    if record["kind"] == "cross":
        of = record["weights_of"]
        # below the name that its maker gave to the bundle of the weights, if they came in one
        parts = ["cross", *Path(name).parts[2:-2], row_folder(of["row"]), f"seed{of['seed']}.json"]
        return "/".join([row_folder(record["row"]), *parts])
    folder = run_folder(record) if "mode" in record else row_folder(record["row"])
    return f"{folder}/{Path(name).name}"


def check_together(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Read all records, and compare them with their places, with each other and with weights.

    Args:
        folder: where the files are.
        files: their SHA-256 by name, as in a manifest.
    """
    remedy = "delete it and run snakemake again to make it anew"
    records = {
        name: read_record(folder / name, kind)
        for name in files
        if (kind := kind_of(name)) is not None
    }
    for name, record in records.items():
        place = _place(name, record)
        if place != name:
            raise InputError(f"{name}: is the record of another run, that of {place}; {remedy}")
    for name in files:
        if _is_cross(name) and str(Path(name).with_suffix(".json")) not in records:
            raise InputError(f"{name}: without its record; give it, too")
        if Path(name).name == _PARITY or _is_cross(name):
            continue
        train = str(Path(name).with_name("train.json"))
        if train not in records:
            raise InputError(f"{name}: without {train}, the record of its training; give it, too")
        kept = records[train]
        if name in records and any(records[name][key] != kept[key] for key in SAME_RUN):
            raise InputError(f"{name}: not of the same run as {train}; {remedy}")
        if name.endswith(".safetensors"):
            digest = kept_weights(folder / train, kept, Path(name).stem)
            if files[name]["sha256"] != digest:
                raise InputError(f"{name}: not the weights that {train} speaks of; {remedy}")
        if name.endswith(LABEL_MAPS):
            evaluate = str(Path(name).with_name("evaluate.json"))
            if evaluate not in records:
                raise InputError(f"{name}: without {evaluate}, which speaks of it; give it, too")
            known = records[evaluate]["figures"].get("label_maps_digest")
            if files[name]["sha256"] != known:
                raise InputError(f"{name}: not the label maps that {evaluate} speaks of; {remedy}")
    check_contents(folder, records, files)


def run_folder(record: Mapping[str, Any]) -> str:
    """Folder of a run below that of the results: gpu-8p/full/seed0."""
    return f"{row_folder(record['row'])}/{record['mode']}/seed{record['seed']}"
