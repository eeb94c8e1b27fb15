"""Builds the simulated NPU, once for each version of torch and of its source.

`environment()` gives the variables under which a process, and those it starts, have the device:
its `import torch_npu` finds the package beside this file.
"""

import hashlib
import os
import shutil
import sys
import tempfile
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
    # the environment's own tools, whether it is active or not
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for tool in ("ninja", os.environ.get("CXX", "c++")):
        if shutil.which(tool, path=path) is None:
            raise CannotBuildError(f"{tool} is not installed")
    digest = hashlib.sha256(torch.__version__.encode())
    for name in ("runtime.h", *SOURCES):
        digest.update((HERE / name).read_bytes())
    folder = FOLDER / f"{NAME}-{os.getuid()}-{digest.hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{NAME}.so"
    with FileLock(folder.with_suffix(".lock")):
        if not library.exists():
            from torch.utils import cpp_extension

            before, os.environ["PATH"] = os.environ["PATH"], path
            try:
                cpp_extension.load(
                    NAME,
                    [str(HERE / name) for name in SOURCES],
                    extra_cflags=["-O1", "-std=c++20"],
                    build_directory=str(folder),
                    is_python_module=False,
                )
            except (RuntimeError, OSError) as fault:
                library.unlink(missing_ok=True)
                raise CannotBuildError(f"the compiler failed: {fault}") from fault
            finally:
                os.environ["PATH"] = before
    return library


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
