"""What a finished workflow shows: the table and where the report is."""

import logging
from collections.abc import Mapping
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
            workflow.async_run(
                auto_report(workflow.dag, plugin, settings, GlobalReportSettings())
            )
    except Exception as fault:
        return " ".join(str(fault).split()) or type(fault).__name__
    finally:
        logging.disable(before)
    return None


def shown(table: Mapping[str, Any], results: Path, report: Path, fault: str | None) -> str:
    """What is printed at the end.

    Args:
        table: as `semask.table.build_table` gives it.
        results: folder that the table is in.
        report: the report.
        fault: why it was not made.
    """
    where = [f"table:  {results / 'table.md'}"]
    if fault is None:
        where.append(f"report: {report}")
    else:
        where += [
            f"report: not made ({fault}); try snakemake --report {report}",
            f"        its first page is {results / 'report' / 'page.html'}",
        ]
    return "\n".join(["", first_rows(table), "", *where])
