"""How every script ends: a wrong input gives one line, a fault of the program its traceback."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from semask.errors import InputError

FORBID_FALLBACKS = "an operator that the NPU lacks is an error: none runs on the host's CPU"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Argument parser with the option that all scripts share."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--error-log", type=Path, help="file for an error message, in place of standard error"
    )
    return made


def run(main: Callable[[], None]) -> None:
    """Run a script's main function and exit with 0, or with 1 and a message."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--error-log", type=Path)
    log: Path | None = shared.parse_known_args()[0].error_log
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    try:
        main()
    except InputError as fault:
        message = "".join(f"error: {line}\n" for line in str(fault).splitlines())
    except Exception as fault:
        if "TORCHELASTIC_RUN_ID" in os.environ and " by peer" in str(fault):
            # Another process has failed and says why; torchrun is about to end this one.
            time.sleep(10)
        message = traceback.format_exc()
    else:
        return
    # with a log, snakemake shows it when the rule has failed: once is enough
    if log is None:
        sys.stderr.write(message)
    else:
        with open(log, "a") as file:
            file.write(message)
    sys.exit(1)
