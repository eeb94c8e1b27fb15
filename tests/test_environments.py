"""That the environments and container files agree with pyproject.toml and with each other."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from semask.devices.variables import check, known

REPOSITORY = Path(__file__).parents[1]
ENVS = REPOSITORY / "envs"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = ("cpu", "gpu", "gpu_beside_npu", "npu")


def pip_requirements(name: str) -> dict[str, str]:
    """Version of each package that an environment installs by pip; options are left out."""
    environment: Any = yaml.safe_load((ENVS / f"{name}.yaml").read_text(encoding="utf-8"))
    listed = next(part for part in environment["dependencies"] if isinstance(part, dict))["pip"]
    return requirements([line for line in listed if not line.startswith("--")])


def requirements(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, version = re.fullmatch(r"([\w-]+) ?(.*)", line).groups()  # type: ignore[union-attr]
        found[name] = version
    return found


@pytest.mark.parametrize("name", CONDA)
def test_environments_have_what_the_project_needs(name: str) -> None:
    needed = requirements(PROJECT["dependencies"])
    found = pip_requirements(name)
    for package, version in needed.items():
        assert found[package] == version or package == "torch"
    extra = set(found) - set(needed)
    assert extra <= {"torch_npu", "cityscapesscripts"}


def test_every_torch_is_one_that_the_project_takes() -> None:
    minimum = requirements(PROJECT["dependencies"])["torch"].removeprefix(">=")
    for name in CONDA:
        assert version(name, "torch") >= tuple(int(part) for part in minimum.split("."))


def version(name: str, package: str) -> tuple[int, ...]:
    pinned = pip_requirements(name)[package]
    assert pinned.startswith("==")
    return tuple(int(part) for part in pinned[2:].split(".")[:3])


def test_gpu_and_npu_of_one_comparison_have_one_torch() -> None:
    assert version("gpu_beside_npu", "torch") == version("npu", "torch")
    assert version("npu", "torch_npu") == version("npu", "torch")
    extra = requirements(PROJECT["optional-dependencies"]["npu"])
    assert extra == {key: pip_requirements("npu")[key] for key in ("torch", "torch_npu")}


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_container_files(device: str) -> None:
    """They cannot be built here; what they say is checked as far as it can be read."""
    text = (ENVS / f"Containerfile.{device}").read_text(encoding="utf-8")
    instructions = [
        line.split(maxsplit=1)
        for line in re.sub(r"\\\n", " ", text).splitlines()
        if line and not line.startswith("#")
    ]
    names = [name for name, _ in instructions]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "ARG", "RUN", "USER", "WORKDIR", "COPY", "ENV", "ENTRYPOINT"}
    image = instructions[0][1]
    assert re.search(r":[\w.-]*\d", image)
    assert not image.endswith(":latest")
    # what is run at the end is not run as root
    assert names.index("USER") < names.index("COPY") < names.index("ENTRYPOINT")
    assert "--editable" in text
    # any user may run it: without a name and a home, and with no right to write but in a volume
    [environment] = [value for name, value in instructions if name == "ENV"]
    assert {"HOME=/tmp", "USER=bench"} <= {*environment.split()}
    assert "/home/" not in text
    assert "chmod -R a+rX /bench" in text
    if device == "gpu":
        [default] = [value for name, value in instructions if name == "ARG"]
        assert pip_requirements("gpu")["torch"] == f"=={default.removeprefix('TORCH=')}"
    for command in re.findall(r"--configfile (\S+)", text):
        assert (REPOSITORY / command).is_file()


def test_the_settings_for_npus_can_be_sourced(tmp_path: Path) -> None:
    script = ENVS / "npu.sh"
    done = subprocess.run(
        ["bash", "-euc", f"source '{script}'; env"],
        capture_output=True, encoding="utf-8", check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    exported = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    names = re.findall(r"^export (\w+)=", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) >= 6
    for name in names:
        assert exported[name]
        assert known(name), f"{name} would be missing in the records"
    check(exported)
    assert (tmp_path / ".cache/semask-acl").is_dir()


def make(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have the Makefile set up a virtual environment, up to what would be installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder)
    command = ["make", ".venv/installed", "PIP_INSTALL=@printenv USER XDG_CACHE_HOME; false"]
    return subprocess.run(
        [*command, *arguments], cwd=folder, env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip


def test_make_takes_the_first_python_that_will_do(tmp_path: Path) -> None:
    asked = f"""test "$1" = -c && exec '{sys.executable}' "$@"; echo "new: $*\""""
    for name, what in (("old", "exit 1"), ("new", asked)):
        path = tmp_path / f"python-{name}"
        path.write_text(f"#!/bin/sh\n{what}\n", encoding="utf-8")
        path.chmod(0o755)
    old, new = "./python-old", "./python-new"
    home = {"HOME": str(tmp_path), "USER": "somebody"}
    done = make(tmp_path, f"PYTHON=./no-python {old} {new} {old}", **home)
    assert done.stdout.splitlines() == ["new: -m venv .venv", "somebody"]
    assert (tmp_path / ".cache").is_dir()
    done = make(tmp_path, f"PYTHON={old}", **home)
    line, of_make = done.stderr.splitlines()
    assert line.startswith(f"error: {old}: none is Python 3.11 to 3.14 with venv and ensurepip")
    assert of_make.startswith("make: ***")


def test_make_gives_a_name_and_a_cache_to_a_user_without(tmp_path: Path) -> None:
    nobody = tmp_path / "python"
    nobody.write_text("#!/bin/sh\n", encoding="utf-8")
    nobody.chmod(0o755)
    done = make(tmp_path, "PYTHON=./python", HOME="/proc")
    user, cache = done.stdout.splitlines()
    assert user
    assert cache == f"{tmp_path}/.snakemake/cache"
    done = make(tmp_path, "PYTHON=./python", HOME="/proc", USER="x", XDG_CACHE_HOME="/y")
    assert done.stdout.splitlines() == ["x", "/y"]
