"""Runs command lines in forks of one process that has its imports already, which take seconds.

The arguments are names of the modules to import first. Reads a JSON object per line: module,
arguments, folder, environment (null for this process's own), umask (-1 for this process's own),
timeout (seconds), and the files that get standard output and standard error. Answers each with the
exit status.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import traceback
from typing import Any


def become(asked: dict[str, Any]) -> None:
    """Turn this process into `python -m module arguments…`, as far as a script can tell."""
    signal.alarm(asked["timeout"])
    os.chdir(asked["folder"])
    if asked["umask"] >= 0:
        os.umask(asked["umask"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, path in ((1, asked["stdout"]), (2, asked["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    if asked["environment"] is not None:
        os.environ.clear()
        os.environ.update(asked["environment"])
        first = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.path[:] = [asked["folder"], *first, *sys.path]
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


def main() -> None:
    del sys.path[0]  # this script's folder
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.freeze()  # else every fork copies what it only looks at
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
