"""What Snakemake says, under each `--quiet` and in each language.

The first import of the Snakefile: a fault of any later one is to be said. So it imports next to
nothing.
"""

import io
import logging
from collections.abc import Collection
from typing import Any

from semask.base import language


def prepare(quiet: Collection[Any], log: logging.Logger) -> None:
    """Have all that Snakemake says to its log arrive, but for what it is to be quiet about."""
    language.print_on()
    # what jobs have said, for one, which it shows when they fail, and the report's parts
    language.read_utf8()
    for handler in log.handlers:
        # its own log was opened before any file of the workflow was read
        stream = handler.stream if isinstance(handler, logging.FileHandler) else None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    if quiet:
        _let_errors_through(log)


def _let_errors_through(log: logging.Logger) -> None:
    """Have Snakemake's `--quiet` show errors, for those who only want to read of these.

    Of itself it hides why a job has failed, and with `all` every error.
    """
    for handler in log.handlers:
        usual = logging.Filterer()
        usual.filters = list(handler.filters)

        def shown(record: logging.LogRecord, usual: logging.Filterer = usual) -> bool:
            if record.levelno >= logging.ERROR:
                return True
            # which it says under any but `--quiet all`
            return bool(usual.filter(record)) and "Select jobs to" not in record.getMessage()

        handler.filters[:] = [shown]
