"""What a bundle holds, looked at before anything is made of it.

The names of its files, whether they belong together, and texts, pictures and figures in them.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from semask.base.errors import InputError
from semask.base.records import SAME_RUN, kept_weights, read_record
from semask.base.row_names import FOLDER, row_folder
from semask.comparison.crossed import check_cross, files_of
from semask.comparison.recomputed import LOG, Record, check_evaluation, check_parity, check_training

KINDS = {
    "train.json": "train",
    "evaluate.json": "evaluate",
    "agreement.json": "agreement",
    "parity.json": "parity",
}
"""Kind of the records of runs and rows in a bundle, by the name of their file."""
LABEL_MAPS = "label_maps.zip"
_PICTURE = "predictions.png"
_OTHERS = (LOG, _PICTURE, LABEL_MAPS, "best.safetensors", "last.safetensors")

_PARITY = "parity.json"  # of a row, not of a run
_OF_RUN = "|".join(re.escape(name) for name in (*KINDS, *_OTHERS) if name != _PARITY)
_CROSS = rf"cross/([A-Za-z0-9_-]+/)?{FOLDER}/seed[0-9]+\.(json|npz)"
FILE = re.compile(
    rf"{FOLDER}/((full|performance)/seed[0-9]+/({_OF_RUN})|{re.escape(_PARITY)}|{_CROSS})"
)

# letters of a key, of any other text, and of a command, which holds a config
_LONGEST_NAME, _LONGEST_TEXT, _LONGEST_COMMAND = 200, 1000, 100_000
_LARGEST = 100_000_000  # pixels: more is no contact sheet, and would fill memory
_REMEDY = "delete it and run snakemake again to make it anew"


def kind_of(name: str) -> str | None:
    """Kind of the record that a file of a bundle is; None if it is another file."""
    if "/cross/" in name:
        return "cross" if name.endswith(".json") else None
    return KINDS.get(Path(name).name)


def _place(name: str, record: Mapping[str, Any]) -> str:
    """The name that a record's file should have; `name` is the one that it has."""
    folder = row_folder(record["row"])
    if record["kind"] == "cross":
        of = record["weights_of"]
        # below the name that its maker gave to the bundle of the weights, if they came in one
        parts = ["cross", *Path(name).parts[2:-2], row_folder(of["row"]), f"seed{of['seed']}.json"]
        return "/".join([folder, *parts])
    if "mode" in record:
        folder += f"/{record['mode']}/seed{record['seed']}"
    return f"{folder}/{Path(name).name}"


def check_together(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Read all records, and compare them with their places, with each other and with weights.

    `files` are what is in the folder: their SHA-256 by name, as in a manifest.

    Raises:
        InputError: they do not belong together, or hold what `check_contents` refuses.
    """
    records = {
        name: read_record(folder / name, kind)
        for name in files
        if (kind := kind_of(name)) is not None
    }
    for name, record in records.items():
        place = _place(name, record)
        if place != name:
            raise InputError(f"{name}: is the record of another run, that of {place}; {_REMEDY}")
    for name in files:
        if "/cross/" in name and str(Path(name).with_suffix(".json")) not in records:
            raise InputError(f"{name}: without its record; give it, too")
        if Path(name).name == _PARITY or "/cross/" in name:
            continue
        train = str(Path(name).with_name("train.json"))
        if train not in records:
            raise InputError(f"{name}: without {train}, the record of its training; give it, too")
        kept = records[train]
        if name in records and any(records[name][key] != kept[key] for key in SAME_RUN):
            raise InputError(f"{name}: not of the same run as {train}; {_REMEDY}")
        if name.endswith(".safetensors"):
            digest = kept_weights(folder / train, kept, Path(name).stem)
            if files[name]["sha256"] != digest:
                raise InputError(f"{name}: not the weights that {train} speaks of; {_REMEDY}")
        if name.endswith(LABEL_MAPS):
            evaluate = str(Path(name).with_name("evaluate.json"))
            if evaluate not in records:
                raise InputError(f"{name}: without {evaluate}, which speaks of it; give it, too")
            known = records[evaluate]["figures"].get("label_maps_digest")
            if files[name]["sha256"] != known:
                raise InputError(f"{name}: not the label maps that {evaluate} speaks of; {_REMEDY}")
    check_contents(folder, records, files)


def check_contents(folder: Path, records: Mapping[str, Record], files: Iterable[str]) -> None:
    """Look at what the files of a bundle hold, whose records are given by the names of their files.

    Raises:
        InputError: a text is longer than a name can be or holds control characters; a log or a
            picture is none, or a record lacks what its figures follow from; a figure does not
            follow from what it is made of.
    """
    there = {*files}
    for name, record in records.items():
        check_texts(name, record)
        if record["kind"] == "train":
            log = str(Path(name).with_name(LOG))
            if log not in there:
                raise InputError(f"{name}: without {log}, which its figures follow from; give it")
            check_training(name, record, folder / log)
        elif record["kind"] == "evaluate":
            trained = records.get(str(Path(name).with_name("train.json")))
            if trained is None:
                raise InputError(f"{name}: without the record of its training; give it, too")
            check_evaluation(name, record, trained)
        elif record["kind"] == "parity":
            check_parity(name, record)
        elif record["kind"] == "cross":
            matrices = str(files_of(name).matrices)
            if matrices not in there:
                raise InputError(f"{name}: without {matrices}, which its figures follow from")
            own = [of for of in records.values() if of["kind"] == "evaluate"]
            check_cross(name, record, folder / matrices, own)
    for name in sorted(there):
        if Path(name).name == _PICTURE:
            _check_picture(folder / name)


def check_texts(name: str, content: Any) -> None:
    """Check all texts and keys of a JSON-like value: they are shown to people.

    What is not printable (control characters, changes of direction, marks that nobody sees) could
    speak to a terminal, or show other words than are there.

    Raises:
        InputError: one is too long or holds such a character; says where.
    """
    waiting: list[tuple[str, Any]] = [("", content)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping):
            for key in value:
                _check_text(name, f"a key of {place or 'it'}", key, _LONGEST_NAME)
            waiting += [(f"{place}.{key}".lstrip("."), of) for key, of in value.items()]
        elif isinstance(value, list):
            waiting += [(place, of) for of in value]
        elif isinstance(value, str):
            longest = _LONGEST_COMMAND if place == "run.command" else _LONGEST_TEXT
            _check_text(name, place, value, longest)


def _check_text(name: str, place: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise InputError(f"{name}: {place} has {len(text)} letters, more than {longest}; {_REMEDY}")
    odd = next((letter for letter in text if not letter.isprintable()), None)
    if odd is not None:
        raise InputError(
            f"{name}: {place} holds U+{ord(odd):04X}, a character that is not printed; {_REMEDY}"
        )


def _check_picture(path: Path) -> None:
    """Check that a file is a PNG that can be decoded, of no more pixels than a contact sheet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its size: that is an error here
            with Image.open(path, formats=["PNG"]) as image:
                if image.width * image.height > _LARGEST:
                    raise InputError(
                        f"{path}: has {image.width}x{image.height} pixels, more than any picture "
                        f"of predictions; {_REMEDY}"
                    )
                image.load()
    except InputError:
        raise
    # whatever a garbled file makes the library stumble over
    except Exception as fault:
        said = " ".join(str(fault).split()).replace(";", ",")
        raise InputError(f"{path}: cannot be read as a PNG ({said}); {_REMEDY}") from None
