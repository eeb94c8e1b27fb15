"""Command lines in forks of a process that has its imports already; see `warm_process`."""

import atexit
import json
import locale
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
REPOSITORY = HERE.parent


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class Started:
    """A command that runs, as `subprocess.Popen` would show it; standard error is in its output."""

    def __init__(self, connection: socket.socket, stdout: Path):
        self.connection, self.stdout = connection, stdout
        self.returncode: int | None = None
        self.answer = b""
        while b"\n" not in self.answer:
            self._receive()
        self.pid = int(self.answer.split()[0])

    def _receive(self) -> None:
        part = self.connection.recv(64)
        assert part, "the process that forks has ended"
        self.answer += part

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.connection.settimeout(timeout)
            while self.answer.count(b"\n") < 2:
                try:
                    self._receive()
                except (TimeoutError, BlockingIOError):
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self.connection.close()
            self.returncode = int(self.answer.split()[1])
        return self.returncode

    def poll(self) -> int | None:
        try:
            return self.wait(timeout=0)
        except subprocess.TimeoutExpired:
            return None

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        self.wait(timeout)
        return self.stdout.read_text(locale.getencoding()), None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Warm:
    """Runs `python -m MODULE …` in forks of one process, which ends with the tests.

    What these start with `sys.executable`, or as `python` from its folder, are such forks, too.
    """

    def __init__(
        self, imports: Sequence[str], environment: Mapping[str, str], python: Path | None = None
    ):
        # not where TMPDIR says: the path of a socket has to be short
        self.folder = tempfile.TemporaryDirectory(prefix="warm-", dir="/tmp")
        atexit.register(self.close)
        self.socket = Path(self.folder.name, "socket")
        self.python = python or self._make_python()
        self.count = 0
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "warm_process.py"), str(self.socket), str(self.python),
             *imports],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )  # fmt: skip
        while not self.socket.exists():
            assert self.process.poll() is None
            time.sleep(0.01)

    def _make_python(self) -> Path:
        """The executable that has this process's forks do what it is asked for."""
        made = Path(self.folder.name, "bin/python")
        made.parent.mkdir()
        command = [sys.executable, "-I", "-S", HERE / "warm_python.py", self.socket, sys.executable]
        made.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n', encoding="utf-8")
        made.chmod(0o755)
        return made

    def _ask(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        stdout: Path,
        stderr: Path,
        environment: Mapping[str, str] | None,
        umask: int,
        timeout: int,
    ) -> Started:
        asked = {
            "module": module,
            "arguments": [*arguments],
            "folder": str(folder),
            "environment": None if environment is None else {**environment},
            "umask": umask,
            "timeout": timeout,
            "own": 0,
            "parent": 0,
        }
        connection = socket.socket(socket.AF_UNIX)
        while True:
            try:
                connection.connect(str(self.socket))
                break
            except ConnectionRefusedError:  # bound, not yet listening
                assert self.process.poll() is None
                time.sleep(0.01)
        body = json.dumps(asked).encode()
        with (
            open(os.devnull, encoding="utf-8") as nothing,
            open(stdout, "ab") as out,
            open(stderr, "ab") as error,
        ):
            streams = [stream.fileno() for stream in (nothing, out, error)]
            socket.send_fds(connection, [len(body).to_bytes(8)], streams)
        connection.sendall(body)
        return Started(connection, stdout)

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        umask: int = -1,
        timeout: int = 3000,
        together: bool = False,
    ) -> Ended:
        """Run a command line; with `together` standard error goes into standard output."""
        streams = {name: Path(self.folder.name, name) for name in ("stdout", "stderr")}
        for path in streams.values():
            path.unlink(missing_ok=True)  # a process of the run before may have it open
            path.touch()
        stderr = streams["stdout" if together else "stderr"]
        started = self._ask(
            module, arguments, folder, streams["stdout"], stderr, environment, umask, timeout
        )
        encoding = locale.getencoding()
        return Ended(started.wait(), *(path.read_text(encoding) for path in streams.values()))

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        output: Path | None = None,
        timeout: int = 3000,
    ) -> Started:
        """Start a command line that may be interrupted, or looked at while it runs."""
        if output is None:
            self.count += 1
            output = Path(self.folder.name, f"output {self.count}")
        return self._ask(module, arguments, folder, output, output, environment, -1, timeout)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.folder.cleanup()


@cache
def warm_scripts() -> Warm:
    """What the scripts import, of this project and of others; theirs are torch and what needs it.

    Where a checkout has a copy of the project, that is imported anew: tests edit it.
    """
    path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    modules = (
        "comparison.cost", "evaluation.agreement", "evaluation.baselines", "evaluation.released",
        "evaluation.scoring", "model.facts", "parity.anybody", "parity.semask_looks",
        "report.page", "report.table", "training.loop", "workflow.json_options",
        "workflow.launching", "workflow.supervise",
    )  # fmt: skip
    return Warm([f"semask.{name}" for name in modules], environment)


@cache
def warm_snakemake() -> Warm:
    """Snakemake, and what else the workflow imports that is not of this project.

    The project itself is imported anew each time: a checkout has a copy of its own, which tests
    edit. The jobs are forks of `warm_scripts`.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    imports = (
        "snakemake.cli", "snakemake.profiles", "snakemake.report.html_reporter",
        "snakemake_storage_plugin_s3", "cv2", "isal.igzip_lib", "jsonschema",
        "multiprocessing.managers", "numpy", "pandas", "PIL.ImageDraw", "prettytable",
        "psutil", "yaml", "yte",
    )  # fmt: skip
    return Warm(imports, environment, python=warm_scripts().python)


def run_script(
    name: str, *arguments: str | Path, folder: Path = REPOSITORY, timeout: int = 900
) -> Ended:
    """Run `python -m workflow_scripts.NAME`, with the environment of the test."""
    return warm_scripts().run(
        f"workflow_scripts.{name}",
        [*map(str, arguments)],
        folder,
        environment=os.environ,
        timeout=timeout,
    )
