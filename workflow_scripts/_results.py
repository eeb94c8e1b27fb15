"""What a finished workflow shows: the table and where the report is."""

import json
import logging
from pathlib import Path
from typing import Any

from semask.files import atomically
from semask.markdown import first_rows


def put_together(workflow: Any, path: Path) -> str | None:
    """Have Snakemake make its report, as `snakemake --report` does.

    Args:
        workflow: Snakemake's, at the end of its run.
        path: HTML file to write.

    Returns:
        Why there is none, in one line; None if it was made. A workflow whose results are complete
        is no failure because they could not be put together.
    """
    from snakemake.report import auto_report
    from snakemake.settings.types import GlobalReportSettings
    from snakemake_interface_report_plugins.registry import ReportPluginRegistry

    plugin = ReportPluginRegistry().get_plugin("html")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # a line for every file that it adds
    try:
        with atomically(path) as temporary:
            settings = plugin.settings_cls(path=temporary)
            workflow.async_run(auto_report(workflow.dag, plugin, settings, GlobalReportSettings()))
    except Exception as fault:
        return " ".join(str(fault).split()) or type(fault).__name__
    finally:
        logging.disable(before)
    return None


def shown(made: Any, report: Path, fault: str | None) -> str:
    """What is printed at the end.

    Args:
        made: the files of the rule that makes the table.
        report: Snakemake's report.
        fault: why it was not made.
    """
    table = json.loads(Path(made.json).read_text())
    where = [f"table:  {made.markdown}", f"report: {report}"]
    if fault is not None:
        where[1:] = [
            f"report: not made ({fault}); its first page is {made.page}",
        ]
    return "\n".join(["", first_rows(table), "", *where])
