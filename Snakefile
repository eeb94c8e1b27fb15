from snakemake.logging import logger

from semask.workflow import voice

# before all that may fail
voice.prepare(workflow.output_settings.quiet or (), logger)

from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/download.smk"
include: "rules/weights.smk"
include: "rules/dataset.smk"
include: "rules/labels.smk"
include: "rules/baselines.smk"


if PREPARED is not None:

    include: "rules/prepare.smk"


include: "rules/train.smk"
include: "rules/scoring.smk"
include: "rules/evaluate.smk"
include: "rules/parity.smk"
include: "rules/profile.smk"
include: "rules/facts.smk"
include: "rules/bundle.smk"
include: "rules/cross.smk"
include: "rules/table.smk"
include: "rules/released.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/table.md",


onstart:
    if workflow.is_main_process and workflow.local_exec:
        told(places.check)(workflow, PLAN, logger.warning)
    if workflow.executor_plugin and workflow.executor_plugin.name == "slurm":
        head.wait_for_jobs_left()
    if workflow.is_main_process and not QUIET & {"progress", "all"}:
        view.start(workflow, config, RESULTS, logger.info)


onsuccess:
    if workflow.is_main_process:
        results.clear_work(PLAN, lambda path: exists(path))
        results.show(workflow, RESULTS)


onerror:
    if workflow.is_main_process:
        results.clear_work(PLAN, lambda path: exists(path))
