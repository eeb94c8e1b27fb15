"""What is done when a workflow has ended: work is cleared, the table and the report are shown."""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from semask.base.files import atomically
from semask.report.markdown import first_rows
from semask.training import workdir
from semask.workflow.plan import Plan


def clear_work(plan: Plan, exists: Callable[[str], bool]) -> None:
    """Clear the work directories of runs whose end Snakemake has noted by now.

    `exists` is Snakemake's, which also looks into a storage.
    """
    for record in plan.runs("train.json", "full", "performance"):
        work = Path(record).parent / "work"
        if work.is_dir():
            workdir.clear(work, exists(record))


def show(workflow: Any, results: str) -> None:
    """At the end of a run, put the report together and print the table, if that was asked for."""
    made = [job.output for job in workflow.dag.jobs if job.rule.name == "table"]
    if not made:
        return
    html = Path(results, "report.html")
    # from a storage it would bring copies that Snakemake then takes for protected outputs
    stored = workflow.storage_settings.default_storage_provider is not None
    fault = None if stored else _put_together(workflow, html)
    if not workflow.output_settings.quiet:
        print(_shown(made[0], html), flush=True)
    if fault is not None:
        print(
            f"error: {html}: not made ({fault}); its first page is {made[0].page}",
            file=sys.stderr,
            flush=True,
        )


def _put_together(workflow: Any, path: Path) -> str | None:
    """Have Snakemake make its report, an HTML file, as `snakemake --report` does.

    Returns why there is none, in one line; None if it was made. A workflow whose results are
    complete is no failure because they could not be put together.
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


def _shown(made: Any, report: Path) -> str:
    """What is printed at the end of the table's files and of Snakemake's report, if it is there."""
    lines = [f"table:  {made.markdown}", f"report: {report if report.is_file() else made.page}"]
    path = Path(made.json)
    # a storage provider may have taken it away again
    if path.is_file():
        table = json.loads(path.read_text(encoding="utf-8"))
        sentences = [f"{of['sentence']}." for of in table["verdicts"]] + table["left_out"]
        lines[:0] = ["", first_rows(table), "", *sentences, ""]
    return "\n".join(lines)
