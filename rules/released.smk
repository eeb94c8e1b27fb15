"""The checkpoints that the authors of SeMask released, evaluated without training.

Needs: the checkpoints, fetched or given under released.weights, and the validation manifest.
Makes: a record per variant, and a table of their accuracy beside the published one.
"""

get_released = told(lambda: released_plan.settings(PLAN))
get_scoring_of_released = told(
    lambda wildcards: released_plan.config(PLAN, wildcards.variant)
)


rule released:
    input:
        weights=told(
            lambda wildcards: kept(*released_plan.weights(PLAN, wildcards.variant))
        ),
        val=VAL_MANIFEST,
        verified=VERIFIED,
    output:
        f"{RELEASED}/{{variant}}.json",
    log:
        f"{RELEASED}/logs/{{variant}}.log",
    benchmark:
        f"{RELEASED}/logs/{{variant}}.benchmark.tsv"
    conda:
        lambda wildcards: f"../envs/{get_released()['device']}.yaml"
    threads: lambda wildcards: get_released()["processes"] * get_released()["threads"]
    resources:
        gpu=get_count_of("gpu", lambda wildcards: get_released()),
        npu=get_count_of("npu", lambda wildcards: get_released()),
        mem_mb=lambda wildcards: 8000 * get_released()["processes"],
    params:
        # how images come in changes no result: no reason to score again
        config=lambda wildcards, resources: get_scoring_of_released(wildcards),
        computed=lambda wildcards: without(
            get_scoring_of_released(wildcards), "workers"
        ),
        processes=lambda wildcards: check_present(
            get_released(), f"{RELEASED}/{wildcards.variant}.json", "released.device"
        )["processes"],
        nodes=get_nodes,
        stall_minutes=get_stall_minutes,
        data=get_data,
        source=lambda wildcards, resources: released_plan.source(
            PLAN, wildcards.variant
        ),
        code=get_code_of("released", leave_out=["semask.fetching.fetch"]),
    shell:
        "exec python -m workflow_scripts.released --config {params.config:q}"
        " --weights {input.weights:q} --val-manifest {input.val:q} {params.data:q}"
        " {params.source:q} --nodes {params.nodes} --stall-minutes {params.stall_minutes}"
        " --record {output:q} --error-log {log:q}"


rule released_table:
    input:
        records=told(lambda wildcards: released_plan.records(PLAN)),
        published=workflow.source_path("../published/published.csv"),
    output:
        markdown=f"{RELEASED}/table.md",
        csv=f"{RELEASED}/table.csv",
        json=f"{RELEASED}/table.json",
    log:
        f"{RELEASED}/logs/table.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        dataset=config["dataset"]["name"],
        code=get_code_of("released_table"),
    shell:
        "exec python -m workflow_scripts.released_table --records {input.records:q}"
        " --published {input.published:q} --dataset {params.dataset:q}"
        " --markdown {output.markdown:q} --csv {output.csv:q} --json {output.json:q}"
        " --error-log {log:q}"
