"""Files of weights: read without ever running what they hold, written for the original tools."""

import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from semask.base import language
from semask.base.errors import InputError
from semask.base.files import atomically
from semask.model import SeMaskFPN
from semask.model.weights import LoadReport

_ADVICE = "make or fetch the file again"
_NUMBERS = "biuf"  # numpy's letters for booleans, integers and floating point


def read_state_dict(path: Path) -> Mapping[str, Any]:
    """What a file of weights holds, as it is there: a state dict, or one within other things.

    It is a safetensors file if its name ends in `.safetensors`, else one that `torch.save` made. Of
    those only tensors, plain containers, strings and numbers are read, numpy's scalars and the
    settings of a trainer among them; anything else, which unpickling might run, is refused. Tensors
    are in host memory, mapped from the file where that is possible. `semask.model.weights` finds
    the state dict in the mapping.

    Raises:
        InputError: the file is missing, damaged, of another kind, holds objects, or holds no
            mapping.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(language.as_utf8_takes_it(path))
        content = _torch_file(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of weights; check the path") from None
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror or fault})") from None
    except SafetensorError as fault:
        raise InputError(f"{path}: damaged, or no safetensors file ({fault}); {_ADVICE}") from None
    if not isinstance(content, Mapping):
        raise InputError(
            f"{path}: holds a {type(content).__name__}, not tensors by name; use a file with a "
            "state dict"
        )
    return content


def load_weights(
    model: SeMaskFPN, path: Path, load: Callable[[SeMaskFPN, Mapping[str, Any]], LoadReport]
) -> LoadReport:
    """Fill a model from a file, by `load_reference` or `load_pretrained_swin`.

    Raises:
        InputError: the file cannot be read, or does not fit the model; it is named in every line.
    """
    state_dict = read_state_dict(path)
    try:
        return load(model, state_dict)
    except InputError as fault:
        lines = [f"{path}: {line.removeprefix('weights: ')}" for line in str(fault).splitlines()]
        raise InputError("\n".join(lines)) from None


def write_reference_checkpoint(
    path: Path, state_dict: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Write a checkpoint as the original tools do, whole or not at all, and read it back.

    Tensors are under the original names; of `meta`, plain values, those tools read `CLASSES` and
    `PALETTE`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    with atomically(path) as temporary:
        torch.save({"state_dict": tensors, "meta": dict(meta)}, temporary)
        written = read_state_dict(temporary)["state_dict"]
        if list(written) != list(tensors) or not all(
            torch.equal(written[name], tensor) for name, tensor in tensors.items()
        ):
            raise RuntimeError(f"{path}: what was written is not what is read back")


def _torch_file(path: Path) -> Any:
    with open(path, "rb") as file:
        start = file.read(1024).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise InputError(
            f"{path}: a web page, as a server gives in place of a file that it refuses; fetch the "
            "file again"
        )
    is_zip = zipfile.is_zipfile(path)
    try:
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()  # torch itself ignores the checksums
            if damaged is not None:
                raise InputError(f"{path}: damaged ({damaged} fails its checksum); {_ADVICE}")
        with warnings.catch_warnings(), torch.serialization.safe_globals(_stand_ins()):
            warnings.simplefilter("ignore")  # of pickles that are refused or read in a moment
            name = language.as_utf8_takes_it(path)
            return torch.load(name, map_location="cpu", weights_only=True, mmap=is_zip)
    except (InputError, OSError):
        raise
    # What torch raises for a damaged or foreign file is anything from KeyError to RuntimeError.
    except Exception as fault:
        named = re.search(r"GLOBAL (\S+)", str(fault))
        if named:
            raise InputError(
                f"{path}: holds objects ({named[1]}), which may run any program when they are "
                "read, and so is not read; use a file that holds tensors only"
            ) from None
        raise InputError(
            f"{path}: damaged, or no file of tensors by torch ({type(fault).__name__}); {_ADVICE}"
        ) from None


class _NumberType:
    """Stands for numpy.dtype, of which only numbers are let in."""

    def __init__(self, name: str, *_: Any) -> None:
        self.dtype = np.dtype(name)
        if self.dtype.kind not in _NUMBERS:
            raise ValueError(f"numpy type {name!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        byte_order = state[1]
        if byte_order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(byte_order)


def _number(number_type: _NumberType, data: bytes) -> bool | int | float:
    """Stands for numpy's constructor of scalars."""
    return np.frombuffer(data, number_type.dtype, count=1)[0].item()


class _Settings:
    """Stands for a trainer's settings, whose names and values are read and have no methods."""


class _Unread:
    """Stands for what nothing here asks for, and for functions that would make such a thing."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


class _Mapping:
    """Stands for mappings with more to them than their items, which alone are read."""

    def __new__(cls, *_: Any) -> "OrderedDict[Any, Any]":  # type: ignore[misc]
        return OrderedDict()


def _sequence(*_: Any) -> list[Any]:
    """Stands for sequences other than lists, whose items alone are read."""
    return []


def _stand_ins() -> list[Any]:
    """What the containers and numbers beside the tensors are made with in a pickle, replaced.

    mmcv keeps scores and the like as numpy scalars. numpy's own functions would be given whatever
    the file says, in C; these take bytes for a number and nothing else. Trainers keep the command
    line or the config that they were started with. Of all of these only what they hold is made, so
    their packages need not be there, and nothing of them is run.
    """
    factories = ("bool", "dict", "float", "int", "list", "set", "str", "tuple")
    # mmengine's message hub: arrays of losses, with the methods that average them
    unread = (
        *("mmengine.logging.history_buffer.HistoryBuffer", "builtins.getattr", "numpy.ndarray"),
        *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
    )
    mappings = ("collections.defaultdict", "yacs.config.CfgNode", "easydict.EasyDict")
    return [
        (_NumberType, "numpy.dtype"),
        (_number, "numpy.core.multiarray.scalar"),
        (_number, "numpy._core.multiarray.scalar"),
        *((_Settings, name) for name in ("argparse.Namespace", "types.SimpleNamespace")),
        *((_Mapping, name) for name in mappings),
        *((_Unread, name) for name in unread),
        (_sequence, "collections.deque"),
        # what a defaultdict makes its values with; it is only named
        *((_Settings, f"builtins.{name}") for name in factories),
    ]
