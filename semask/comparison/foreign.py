"""What came from elsewhere, looked at before anything is made of it: texts, pictures, figures."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from semask.base.errors import InputError
from semask.comparison.crossed import check_cross, files_of
from semask.comparison.recomputed import LOG, check_evaluation, check_parity, check_training

Record = Mapping[str, Any]

PICTURE = "predictions.png"

LONGEST_NAME, LONGEST_TEXT, LONGEST_COMMAND = 200, 1000, 100_000
"""Letters of a key, of any other text, and of a command, which holds a config."""

_LARGEST = 100_000_000  # pixels: more is no contact sheet, and would fill memory
_REMEDY = "delete it and run snakemake again to make it anew"


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
        if Path(name).name == PICTURE:
            check_picture(folder / name)


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
                _check_text(name, f"a key of {place or 'it'}", key, LONGEST_NAME)
            waiting += [(f"{place}.{key}".lstrip("."), of) for key, of in value.items()]
        elif isinstance(value, list):
            waiting += [(place, of) for of in value]
        elif isinstance(value, str):
            _check_text(name, place, value,
                        LONGEST_COMMAND if place == "run.command" else LONGEST_TEXT)  # fmt: skip


def _check_text(name: str, place: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise InputError(f"{name}: {place} has {len(text)} letters, more than {longest}; {_REMEDY}")
    odd = next((letter for letter in text if not letter.isprintable()), None)
    if odd is not None:
        raise InputError(
            f"{name}: {place} holds U+{ord(odd):04X}, a character that is not printed; {_REMEDY}"
        )


def check_picture(path: Path) -> None:
    """Check that a file is a PNG that can be decoded.

    Raises:
        InputError: it is none, or has more pixels than any contact sheet.
    """
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
