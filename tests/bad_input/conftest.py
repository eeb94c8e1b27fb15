"""A folder with good input, what a case does to it, and what every refusal has to look like."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from semask.base.files import sha256
from semask.base.records import write_record
from semask.config.layers import assemble
from semask.config.recipe import resolve
from semask.data import sets
from semask.data.labels import convert_part
from semask.data.manifest import merge, write_manifest
from semask.model import build, export_reference

from ..runs import write_run
from ..warm import Ended, warm_scripts

REPOSITORY = Path(__file__).parents[2]
WIDTH, HEIGHT = 32, 16
CITIES = {"train": "ulm", "val": "bonn"}


_LARGE = 2**20


class Commands:
    """Runs `python -m workflow_scripts.NAME`, in a process of its own or a fork of one that has
    its imports already, which saves seconds."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_PROXY": "*"}

    def run(self, name: str, arguments: Sequence[str], folder: Path) -> Ended:
        return warm_scripts().run(
            f"workflow_scripts.{name}", arguments, folder, environment=self.environment, timeout=120
        )

    def run_afresh(self, name: str, arguments: Sequence[str], folder: Path) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", f"workflow_scripts.{name}", *arguments],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


class Case(NamedTuple):
    """What is wrong, what is done to good input for it, and what the one line has to say."""

    name: str
    spoil: Callable[["Place"], object]
    says: list[str]
    options: Mapping[str, Any] = MappingProxyType({})


def nothing(place: "Place") -> None:
    """Leaves the input as it is: the command line is what is wrong."""


def named(cases: Sequence[Any]) -> Any:
    """Parametrises a test with cases under their names."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(scope="session")
def commands() -> Commands:
    return Commands()


class Place:
    """A folder with good input and with the command lines that take it."""

    def __init__(self, folder: Path, commands: Commands):
        self.folder, self.commands = folder, commands

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, content: bytes | str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it is a link to the good file
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def cut(self, name: str, share: float = 0.5) -> None:
        """Leave only the beginning of a file."""
        data = (self.folder / name).read_bytes()
        self.write(name, data[: int(share * len(data))])

    def edit(self, name: str, change: Callable[[Any], object]) -> None:
        """Change a JSON file."""
        content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        change(content)
        self.write(name, json.dumps(content))

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def files(self) -> dict[str, str]:
        """Digest of every file (of one that is large, or can't be read, when it was written),
        target of every link.

        Left out is what starts with a dot: state that the next run goes on from.
        """
        found = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder)
            if any(part.startswith(".") for part in name.parts):
                continue
            if path.is_symlink():
                found[str(name)] = str(path.readlink())
            elif path.is_file() and (path.stat().st_size > _LARGE or not os.access(path, os.R_OK)):
                found[str(name)] = str(
                    (path.stat().st_ino, path.stat().st_size, path.stat().st_mtime_ns)
                )
            elif path.is_file():
                found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def run(self, name: str, options: Mapping[str, Any]) -> Ended:
        return self.commands.run(name, arguments_of(options), self.folder)

    def refusal(self, name: str, options: Mapping[str, Any], says: Sequence[str]) -> str:
        """Run a command that has to be refused, and give back its one line."""
        before = self.files()
        ended = self.run(name, {**options, "--error-log": "error.log"})
        after = self.files()
        assert ended.status == 1, ended
        assert ended.stderr == ""
        assert "Traceback" not in ended.stdout
        text = (self.folder / "error.log").read_text(encoding="utf-8")
        line = text.removesuffix("\n")
        assert len(text.splitlines()) == 1, text
        assert line.startswith("error: ")
        for part in says:
            assert part in line
        del after["error.log"]
        assert after == before
        return line


def arguments_of(options: Mapping[str, Any]) -> list[str]:
    """The words of a command line; an option whose value is Ellipsis is left out."""
    words: list[str] = []
    for option, value in options.items():
        if value is ...:
            continue
        words.append(option)
        if isinstance(value, dict) or (option in _JSON_OPTIONS and isinstance(value, list)):
            words.append(json.dumps(value))
        else:
            words += map(str, value) if isinstance(value, list) else [str(value)]
    return words


_JSON_OPTIONS = ("--archives", "--rows", "--config", "--source", "--mirrors", "--published")


def _picture(seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(path)


def _data_set(root: Path) -> None:
    """An image per split, with polygons."""
    for split, city in CITIES.items():
        for number in range(1):
            stem = f"{city}_{number:06}_000019"
            _picture(number, root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
            label = root / "gtFine" / split / city / f"{stem}_gtFine_polygons.json"
            label.parent.mkdir(parents=True, exist_ok=True)
            objects = [
                {"label": "sky", "polygon": [[0, 0], [31, 0], [31, 7], [0, 7]]},
                {"label": "car", "polygon": [[4, 4], [12, 4], [12, 12], [4, 12]]},
            ]
            content = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": objects}
            label.write_text(json.dumps(content), encoding="utf-8")


def recipe() -> dict[str, Any]:
    """The embedded experiment's recipe for an image of this size."""
    config = assemble([yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))])
    del config["model"]["pretrained"]
    config["evaluation"] = {"scale": [WIDTH, HEIGHT], "sliding_window": None}
    config["dataset"] = "streets"
    return resolve(config, mode="full", processes=1, training_images=1).as_dict()


def _weights_and_records(folder: Path, make_record: Any, fingerprint: str) -> None:
    """Of a run of the smallest model that was not trained."""
    torch.manual_seed(0)
    model = build("nano", num_classes=19)
    save_file(model.state_dict(), folder / "best.safetensors")
    os.link(folder / "best.safetensors", folder / "last.safetensors")
    torch.save({"state_dict": export_reference(model)}, folder / "semask_nano.pth")
    digest = sha256(folder / "best.safetensors")
    same = {
        "recipe": recipe(),
        "weights_digest": {"best": digest, "last": digest},
        "data_fingerprint": fingerprint,
    }
    for kind in ("train", "evaluate"):
        write_run(folder, make_record(kind, **same), kind)
    baselines = make_record("baselines", data_fingerprint=fingerprint)
    write_record(folder / "baselines.json", "baselines", **baselines)
    write_record(folder / "facts.json", "facts", **make_record("facts"))


@pytest.fixture(scope="session")
def good_input(tmp_path_factory: pytest.TempPathFactory, make_record: Any) -> Path:
    """Data set, labels, a run and published figures; not to be changed by a test."""
    folder = tmp_path_factory.mktemp("good")
    root, labels = folder / "data", folder / "labels"
    _data_set(root)
    dataset = sets.load("streets")
    fingerprint = ""
    for split, city in CITIES.items():
        part = convert_part(dataset, root, split, city, labels)
        manifest = merge([part])
        write_manifest(labels / split / f"{city}.json", part)
        write_manifest(labels / f"{split}.json", manifest)
        fingerprint = manifest["fingerprint"]
    (folder / "run").mkdir()
    _weights_and_records(folder / "run", make_record, fingerprint)
    (folder / "published").mkdir()
    for name in ("published.csv", "weights.csv"):
        shutil.copy(REPOSITORY / "published" / name, folder / "published")
    return folder


@pytest.fixture
def place(good_input: Path, tmp_path: Path, commands: Commands) -> Place:
    """A copy of the good input, which a case may spoil, in a folder with a space in its name."""
    folder = tmp_path / "a place"
    shutil.copytree(good_input, folder, copy_function=os.link)
    return Place(folder, commands)
