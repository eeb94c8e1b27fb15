"""Command lines in forks of a process that has its imports already; see `warm_process`."""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class Warm:
    """Runs `python -m MODULE …` in forks of one process, one after the other.

    Only for commands that end by themselves: there is no process to send signals to. The process
    that is forked ends with the tests.
    """

    def __init__(self, imports: Sequence[str], environment: Mapping[str, str]):
        self.folder = tempfile.TemporaryDirectory()
        atexit.register(self.close)
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm_process.py")), *imports],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        umask: int = -1,
        timeout: int = 600,
        together: bool = False,
    ) -> Ended:
        """Run a command line; with `together` standard error goes into standard output."""
        streams = {name: Path(self.folder.name, name) for name in ("stdout", "stderr")}
        for path in streams.values():
            path.write_text("")
        asked = {
            "module": module,
            "arguments": [*arguments],
            "folder": str(folder),
            "environment": None if environment is None else {**environment},
            "umask": umask,
            "timeout": timeout,
            "stdout": str(streams["stdout"]),
            "stderr": str(streams["stdout" if together else "stderr"]),
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        return Ended(status, *(path.read_text() for path in streams.values()))

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()
        self.folder.cleanup()


@cache
def warm_snakemake() -> Warm:
    """Snakemake, and what else the workflow imports that is not of this project.

    The project itself is imported anew each time: a checkout has a copy of its own, which tests
    edit.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    imports = ("snakemake.cli", "jsonschema", "numpy", "pandas", "psutil", "yaml")
    return Warm(imports, environment)


@cache
def warm_trainer() -> Warm:
    """The trainer with all that it imports; it is never edited."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    return Warm(["semask.evaluation.scoring", "semask.training.loop"], environment)
