"""Weights of one row on another row's device: what one predicted, beside what the other predicts.

Needs: the row's device; the best weights of the other row's run, its evaluation's record and label
maps, from here or from a bundle; the validation manifest.
Makes: a record, each image's confusion matrices, and a picture of where labels flip.
"""

CROSS = crossed.files_of(f"{ROW}/cross/{{of}}/seed{{seed}}.json")


rule cross:
    input:
        of=get_files_of,
        val=VAL_MANIFEST,
    output:
        record=str(CROSS.record),
        matrices=str(CROSS.matrices),
        pictures=str(CROSS.pictures),
    log:
        str(CROSS.record.with_suffix(".log")),
    wildcard_constraints:
        of="([A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+",
    conda:
        lambda wildcards: f"../envs/{PLAN.environment(wildcards.device)}.yaml"
    threads: get_cores_of
    resources:
        gpu=get_count_of("gpu"),
        npu=get_count_of("npu"),
        mem_mb=lambda wildcards: PLAN.evaluation_memory(get_row_of(wildcards)),
    params:
        data=get_data,
        of=get_options_of,
        # how images come in changes no result: no reason to score again
        run=lambda wildcards, resources: get_scoring_of_cross(wildcards),
        computed=lambda wildcards: without(get_scoring_of_cross(wildcards), "workers"),
        nodes=get_nodes,
        stall_minutes=get_stall_minutes,
        code=get_code_of(
            "cross", leave_out=sets.NO_LABEL_CODE, also=[PLAN.dataset.__name__]
        ),
    shell:
        "exec python -m workflow_scripts.cross {params.of:q} --val-manifest {input.val:q}"
        " {params.data:q} --run {params.run:q} --nodes {params.nodes} --stall-minutes {params.stall_minutes}"
        " --pictures {output.pictures:q} --matrices {output.matrices:q}"
        " --record {output.record:q} --error-log {log:q}"
