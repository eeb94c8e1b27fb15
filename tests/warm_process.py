"""Runs command lines in forks of one process that has its imports already, which take seconds.

    python warm_process.py SOCKET PYTHON MODULE ...

Imports the modules, then answers those that connect to SOCKET, several at a time. Each sends what
to run as a JSON object after its length, with the files that are to be standard input, output and
error: module, arguments, folder, environment (null for this process's own), umask (-1 for this
process's own), timeout (seconds), and the process ids of itself and its parent if the command is to
stand for it (0 if not). It gets a line with the fork's process id, and one with its exit status.
Each byte that it sends meanwhile is a signal for the fork, which is killed when it is gone.

PYTHON is what the forks take for Python's executable: a program that has this process run what it
is given (`warm_python.py`). All ends with standard input.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

# semask.devices.launched.MARK
LAUNCHER = "SEMASK_LAUNCHER"
# what a checkout has a copy of
OWN = ("semask", "workflow_scripts")


def become(asked: dict[str, Any], streams: list[int], python: str) -> None:
    """Turn this process into `python -m module arguments…`, as far as a script can tell."""
    os.setsid()
    if asked["timeout"]:
        signal.alarm(asked["timeout"])
    os.chdir(asked["folder"])
    if asked["umask"] >= 0:
        os.umask(asked["umask"])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if asked["environment"] is not None:
        os.environ.clear()
        os.environ.update(asked["environment"])
        first = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:] = [asked["folder"], *first, *sys.path]
    # a run's processes know by their parent, or by themselves, who has launched them
    launcher = os.environ.get(LAUNCHER)
    if launcher == str(asked["own"]):
        os.environ[LAUNCHER] = str(os.getpid())
    elif launcher == str(asked["parent"]):
        os.environ[LAUNCHER] = str(os.getppid())
    _forget_other_code()
    if asked["module"].partition(".")[0] in OWN:
        sys.modules.pop(asked["module"], None)  # it is to run, not to have been imported
    sys.executable = python
    sys.argv = [asked["module"], *asked["arguments"]]
    status: Any = 0
    try:
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    # what Python does at its end, but for taking torch down, which takes as long as the rest
    end_threads: Any = vars(threading)["_shutdown"]
    end_threads()
    vars(atexit)["_run_exitfuncs"]()
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(status, str):  # sys.exit with a message
        os.write(2, f"{status}\n".encode())
    os._exit(status if isinstance(status, int) else 1)


def _forget_other_code() -> None:
    """Have this project imported anew where another copy of it comes first: tests edit it."""
    for name in OWN:
        found = next((x for x in map(Path, sys.path) if (x / name).is_dir()), None)
        loaded = sys.modules.get(name)
        if loaded is None or found is None or found.samefile(Path(str(loaded.__file__)).parents[1]):
            continue
        for module in [x for x in sys.modules if x == name or x.startswith(f"{name}.")]:
            del sys.modules[module]


class Server:
    """Forks a process for each connection, and says how it has ended."""

    def __init__(self, path: str, python: str):
        self.python = python
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(0, selectors.EVENT_READ, self.end)
        self.running: dict[int, socket.socket] = {}

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                # one that was ended by what an earlier one has brought is not there any more
                if self.selector.get_map().get(key.fd) is key:
                    key.data()

    def accept(self) -> None:
        connection, _ = self.listener.accept()
        length, streams, _, _ = socket.recv_fds(connection, 8, 3)
        body = b""
        while len(body) < int.from_bytes(length) and (part := connection.recv(1 << 20)):
            body += part
        if len(streams) < 3 or len(body) < int.from_bytes(length):
            connection.close()  # whoever asks was ended meanwhile
            for stream in streams:
                os.close(stream)
            return
        asked = json.loads(body)
        child = os.fork()
        if child == 0:
            for key in [*self.selector.get_map().values()]:
                if key.fd != 0:
                    os.close(key.fd)
            connection.close()
            self.selector.close()
            become(asked, streams, self.python)
        for stream in streams:
            os.close(stream)
        self.running[child] = connection
        ended = os.pidfd_open(child)
        self.selector.register(ended, selectors.EVENT_READ, lambda: self.tell(child, ended))
        self.selector.register(connection, selectors.EVENT_READ, lambda: self.pass_on(child))
        self.send(connection, child)

    def pass_on(self, child: int) -> None:
        """Send a process the signals that were asked for."""
        try:
            numbers = self.running[child].recv(64)
        except ConnectionError:
            numbers = b""
        if not numbers:
            self.selector.unregister(self.running[child])
        for number in numbers or [signal.SIGKILL]:
            os.kill(child, number)

    def tell(self, child: int, ended: int) -> None:
        """Say how a process has ended."""
        _, status = os.waitpid(child, 0)
        self.selector.unregister(ended)
        os.close(ended)
        connection = self.running.pop(child)
        if connection in [key.fileobj for key in self.selector.get_map().values()]:
            self.selector.unregister(connection)
        self.send(connection, os.waitstatus_to_exitcode(status))
        connection.close()

    def send(self, connection: socket.socket, number: int) -> None:
        with suppress(ConnectionError):  # nobody is interested any more
            connection.sendall(f"{number}\n".encode())

    def end(self) -> None:
        for child in self.running:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        sys.exit()


def main() -> None:
    path, python, *imports = sys.argv[1:]
    del sys.path[0]  # this script's folder
    for name in imports:
        importlib.import_module(name)
    if "semask.base.provenance" in sys.modules:
        # it remembers what each file imports: every record has the digest of its stage's code
        importlib.import_module("semask.base.provenance").source_digest("workflow_scripts.train")
    gc.freeze()  # else every fork copies what it only looks at
    Server(path, python).serve()


if __name__ == "__main__":
    main()
