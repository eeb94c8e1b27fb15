"""Profile: where the time of a row's training step goes.

Needs: the row's device. No data set: batches are made up, and waiting for data is not in them.
Makes: milliseconds by part of the model and by kind of operator, and a trace for Chrome's viewer
(chrome://tracing, Perfetto).
"""


rule profile:
    output:
        record=f"{ROW}/profile.json",
        trace=f"{ROW}/trace.json.gz",
    log:
        f"{ROW}/profile.log",
    conda:
        lambda wildcards: f"../envs/{PLAN.environment(wildcards.device)}.yaml"
    threads: get_cores_of
    resources:
        gpu=get_count_of("gpu"),
        npu=get_count_of("npu"),
        mem_mb=lambda wildcards: 4000 * get_row_of(wildcards)["processes"],
    params:
        # no data set is read
        config=lambda wildcards, resources: PLAN.training_config(),
        computed=without(PLAN.training_config(), "loader"),
        row=lambda wildcards: json.dumps(
            as_recorded(get_present_row_of("profile.json")(wildcards))
        ),
        nodes=get_nodes,
        stall_minutes=get_stall_minutes,
        code=get_code_of("profile"),
    shell:
        "exec python -m workflow_scripts.profile --config {params.config:q} --row {params.row:q}"
        " --nodes {params.nodes} --stall-minutes {params.stall_minutes}"
        " --record {output.record:q} --trace {output.trace:q} --error-log {log:q}"
