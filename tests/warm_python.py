"""Stands for `python`, in whose place a process with its imports runs a command: `warm_process.py`.

    python warm_python.py SOCKET PYTHON [ARGUMENT ...]

Gives it its own standard streams, folder and environment, passes signals on to it, and ends as it
does. Whatever is no `-m MODULE` of this project or of a test's folder is for PYTHON itself.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP)
OTHERS = ("snakemake", "pip")


def main() -> None:
    path, python, *command = sys.argv[1:]
    if len(command) < 2 or command[0] != "-m" or command[1] in OTHERS:
        os.execv(python, [python, *command])
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    umask = os.umask(0)
    asked = {
        "module": command[1],
        "arguments": command[2:],
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "timeout": 0,
        "own": os.getpid(),
        "parent": os.getppid(),
    }
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    body = json.dumps(asked).encode()
    socket.send_fds(server, [len(body).to_bytes(8)], [0, 1, 2])
    server.sendall(body)

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ConnectionError):  # the command has ended, and this one is about to
            server.send(bytes([number]))

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    answer = b""
    with suppress(ConnectionError):  # it ended without having read a signal: its answer is there
        while part := server.recv(64):
            answer += part
    lines = answer.split()
    status = int(lines[1]) if len(lines) == 2 else -signal.SIGKILL
    if status < 0:
        if -status in PASSED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


main()
