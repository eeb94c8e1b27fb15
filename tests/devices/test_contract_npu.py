"""That the names of torch_npu which semask.devices uses are in the real package.

The wheel is read, not run: it needs CANN. Where it cannot be fetched the tests are skipped.
"""

import ast
import re
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import pytest
import torch
from filelock import FileLock

REPOSITORY = Path(__file__).parents[2]
# the one that the NPU environment pins, and the one of this torch
VERSIONS = ("2.12.0.post2", "2.13.0")
SOURCE = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted((REPOSITORY / "semask" / "devices").glob("*.py"))
)
MODULES = {"npu": "torch_npu/npu/__init__.py", "npu.utils": "torch_npu/npu/utils.py"}


@cache
def wheel(version: str) -> zipfile.ZipFile:
    folder = Path(tempfile.gettempdir()) / "semask-wheels"
    folder.mkdir(exist_ok=True)
    # each is built for several versions of Python; which one is all the same for reading
    with FileLock(folder / "lock"):
        found = list(folder.glob(f"torch_npu-{version}-*.whl"))
        if not found:
            command = [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--only-binary", ":all:", "--python-version", "3.12"),
                *("--platform", "manylinux_2_28_x86_64", "--dest", str(folder)),
                f"torch_npu=={version}",
            ]
            try:
                done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
            except subprocess.TimeoutExpired:
                pytest.skip(f"torch_npu {version} cannot be fetched: not within 300 s")
            found = list(folder.glob(f"torch_npu-{version}-*.whl"))
            if not found:
                pytest.skip(f"torch_npu {version} cannot be fetched: {done.stderr.strip()[-200:]}")
    return zipfile.ZipFile(found[0])


def used_names(source: str) -> set[str]:
    """What is asked of torch_npu: dotted names below it, `npu.set_compile_mode` and the like.

    `npu` is a local name for the device's module there; `torch_npu.npu` is the same module.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if re.match(r"(torch_npu\.|npu\.|torch\.npu\.)[\w.]+$", name):
                names.add(re.sub(r"^(torch_npu|torch)\.", "", name))
    # `a.b.c` comes with `a.b`
    return {name for name in names if not any(other.startswith(f"{name}.") for other in names)}


def defined(archive: zipfile.ZipFile, path: str) -> set[str]:
    """Names that a module has: defined, assigned or imported, `import *` followed."""
    found = set()
    for node in ast.walk(ast.parse(archive.read(path))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            beside = f"{path.rpartition('/')[0]}/{node.module}.py"
            if node.level == 1 and beside in archive.namelist():
                found |= exported(archive, beside)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


def exported(archive: zipfile.ZipFile, path: str) -> set[str]:
    """Names of a module's `__all__` that it has."""
    for node in ast.parse(archive.read(path)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value)) & defined(archive, path)
    return set()


def missing(names: set[str], archive: zipfile.ZipFile) -> list[str]:
    """Those of the names that the wheel does not have."""
    settings = archive.read("torch_npu/npu/npu_config.py").decode()
    package = {"npu", *defined(archive, "torch_npu/__init__.py")}
    absent = []
    for name in names:
        parent, _, last = name.rpartition(".")
        if parent in MODULES:
            there = last in defined(archive, MODULES[parent])
        elif parent:
            # settings such as npu.matmul.allow_hf32 are strings in a __setattr__
            owner = parent.rpartition(".")[2]
            there = owner in defined(archive, MODULES["npu"]) and f'name == "{last}"' in settings
        else:
            there = last in package
        if not there:
            absent.append(name)
    return sorted(absent)


def test_the_names_are_found_in_the_source() -> None:
    """So that the tests below cannot pass for want of names."""
    assert used_names(SOURCE) >= {
        "__version__",
        "npu.utils.get_cann_version",
        "npu.set_compile_mode",
        "npu.matmul.allow_hf32",
        "npu.conv.allow_hf32",
        "npu.config.allow_internal_format",
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_is_in_the_package(version: str) -> None:
    assert missing(used_names(SOURCE), wheel(version)) == []
    # what torch.get_device_module("npu") is asked for under names that all devices share
    shared = {
        *("npu.device_count", "npu.get_device_name", "npu.is_bf16_supported"),
        *("npu.get_rng_state", "npu.set_rng_state", "npu.manual_seed_all"),
        "npu.max_memory_allocated",
    }
    assert missing(shared, wheel(version)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_that_is_not_there_is_seen(version: str) -> None:
    source = (
        "npu.set_compile_mode_2(jit_compile=False)\nnpu.matmul.allow_hf64 = True\n"
        "npu.convolution.allow_hf32 = True\ntorch_npu.npu.utils.get_can_version('CANN')\n"
    )
    assert len(missing(used_names(source), wheel(version))) == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_variables_and_words_are_in_its_library(version: str) -> None:
    library = wheel(version).read("torch_npu/lib/libtorch_npu.so")
    words = [
        b"TORCH_NPU_USE_COMPATIBLE_IMPL",
        b"on the NPU backend and will fall back to run on the CPU.",
        b"' is not currently supported ",
        b"No NPUs are available",
        b"TORCH_NPU_DISABLED_WARNING",
    ]
    if version == "2.13.0":  # which has no such switch
        words += [
            b"TORCH_NPU_WARNING_DISABLE",
            b"TORCH_NPU_FALLBACK_CPU_DISABLE",
            b"' would execute its main computation on CPU through ",
            b", but CPU fallback is disabled by",
        ]
    assert [word for word in words if word not in library] == []
    module = wheel(version).read("torch_npu/npu/__init__.py")
    assert b"ASCEND_RT_VISIBLE_DEVICES" in module


def test_names_of_torch_accelerator() -> None:
    names = set(re.findall(r"torch\.accelerator\.(\w+)", SOURCE))
    assert {"set_device_index", "synchronize"} <= names
    # which ask for an allocator that torch_npu 2.12 has not
    assert not [name for name in names if "memory" in name]
    assert [name for name in names if not hasattr(torch.accelerator, name)] == []
