"""Runs command lines in forks of one process that has imported torch, which takes seconds.

Reads a JSON object per line: module, arguments, folder, and the files that get standard output and
standard error. Answers each with the exit status.
"""

import gc
import json
import os
import runpy
import sys
import traceback
from typing import Any

import semask.cost
import semask.released
import semask.scoring
import semask.training  # noqa: F401


def become(asked: dict[str, Any]) -> None:
    """Turn this process into `python -m module arguments…`, as far as a script can tell."""
    os.chdir(asked["folder"])
    for stream, path in ((1, asked["stdout"]), (2, asked["stderr"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [asked["module"], *asked["arguments"]]
    status: Any = 0
    try:
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # taking torch down again takes as long as the rest


def main() -> None:
    gc.freeze()  # else every fork copies what it only looks at
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
