"""What a finished workflow shows: the table and where the report is."""

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from semask.base.files import atomically
from semask.report.markdown import first_rows


def put_together(workflow: Any, path: Path) -> str | None:
    """Have Snakemake make its report, as `snakemake --report` does.

    Args:
        workflow: Snakemake's, at the end of its run.
        path: HTML file to write.

    Returns:
        Why there is none, in one line; None if it was made. A workflow whose results are complete
        is no failure because they could not be put together.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # a line for every file that it adds
    try:
        from snakemake.report import auto_report
        from snakemake.settings.types import GlobalReportSettings
        from snakemake_interface_report_plugins.registry import ReportPluginRegistry

        plugin = ReportPluginRegistry().get_plugin("html")
        with atomically(path) as temporary:
            settings = plugin.settings_cls(path=temporary)
            workflow.async_run(auto_report(workflow.dag, plugin, settings, GlobalReportSettings()))
    except Exception as fault:
        with suppress(OSError):  # not an older one beside this table
            path.unlink(missing_ok=True)
        return " ".join(str(fault).split()) or type(fault).__name__
    finally:
        logging.disable(before)
    return None


def shown(made: Any, report: Path) -> str:
    """What is printed at the end.

    Args:
        made: the files of the rule that makes the table.
        report: Snakemake's report, which is there or not.
    """
    lines = [f"table:  {made.markdown}"]
    lines.append(f"report: {report if report.is_file() else made.page}")
    path = Path(made.json)
    # a storage provider may have taken it away again
    if path.is_file():
        lines[:0] = ["", first_rows(json.loads(path.read_text())), ""]
    return "\n".join(lines)
