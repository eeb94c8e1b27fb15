"""Builds the simulated NPU, once for each version of torch and of its source.

`environment()` gives the variables under which a process, and those it starts, have the device:
its `import torch_npu` finds the package beside this file.
"""

import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from filelock import FileLock

HERE = Path(__file__).parent
NAME = "simulated_npu_device"
SOURCES = ("runtime.cpp", "operators.cpp")
# as it is when this is imported: what tests later have in its place does not outlast them
FOLDER = Path(tempfile.gettempdir())


class CannotBuildError(Exception):
    """Why the device cannot be built here."""


@cache
def build() -> Path:
    """The shared library, built if it was not before.

    Raises:
        CannotBuildError: there is no compiler, or it fails.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise CannotBuildError(f"{compiler} is not installed")
    digest = hashlib.sha256(torch.__version__.encode())
    for name in ("runtime.h", *SOURCES):
        digest.update((HERE / name).read_bytes())
    folder = FOLDER / f"{NAME}-{os.getuid()}-{digest.hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{NAME}.so"
    with FileLock(folder.with_suffix(".lock")):
        if not library.exists():
            try:
                _compile(compiler, folder, library)
            except subprocess.CalledProcessError as fault:
                raise CannotBuildError(f"the compiler failed: {fault.stderr}") from fault
    return library


def _compile(compiler: str, folder: Path, library: Path) -> None:
    """Without the shell that torch's own way goes through, which takes paths apart at spaces."""
    from torch.utils import cpp_extension

    included = [*cpp_extension.include_paths(), sysconfig.get_path("include")]
    options = ["-O1", "-std=c++20", "-fPIC", f"-DTORCH_EXTENSION_NAME={NAME}"]
    options += [word for path in included for word in ("-isystem", path)]
    objects = [str(folder / f"{name}.o") for name in SOURCES]
    commands = [
        [compiler, *options, "-c", str(HERE / name), "-o", made]
        for name, made in zip(SOURCES, objects, strict=True)
    ]
    with ThreadPoolExecutor() as pool:
        list(pool.map(_run, commands))
    libraries = [f"-L{path}" for path in cpp_extension.library_paths()]
    libraries += ["-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"]
    unfinished = f"{library}.tmp"
    _run([compiler, "-shared", *objects, *libraries, "-o", unfinished])
    os.replace(unfinished, library)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, encoding="utf-8", errors="replace")


def environment(**knobs: str) -> dict[str, str]:
    """Variables of a process that has the device; `knobs` are described in torch_npu/__init__.py.

    Raises:
        CannotBuildError: as `build`.
    """
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "SIMULATED_NPU_LIBRARY": str(build()),
        "PYTHONPATH": os.pathsep.join(paths),
        **knobs,
    }
