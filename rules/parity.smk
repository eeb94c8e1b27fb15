"""Parity: whether a row's device computes what the model defines, and who is to blame if not.

Needs: the row's device, and for the digests of the first batches the training images' manifest.
Nothing is trained: weights and images are made up from a rule.
Makes: what was found, module by module and step by step; asked for by its name.
"""


rule parity:
    input:
        train=[TRAIN_MANIFEST] if PLAN.parity_needs_data() else [],
        verified=[VERIFIED] if PLAN.parity_needs_data() else [],
    output:
        f"{ROW}/parity.json",
    log:
        f"{ROW}/parity.log",
    conda:
        lambda wildcards: f"../envs/{PLAN.environment(wildcards.device)}.yaml"
    threads: get_cores_of
    resources:
        gpu=get_count_of("gpu"),
        npu=get_count_of("npu"),
        mem_mb=lambda wildcards: PLAN.parity_memory(get_row_of(wildcards)),
    params:
        # no image is loaded by workers, and no speed measured
        config=lambda wildcards, resources: PLAN.training_config(),
        computed=without(PLAN.training_config(), "loader", "performance"),
        look=lambda wildcards: PLAN.parity_look(
            get_present_row_of("parity.json")(wildcards)
        ),
        nodes=get_nodes,
        stall_minutes=get_stall_minutes,
        data=lambda wildcards, input: words("--train-manifest", input.train)
        + (get_data(wildcards) if input.train else []),
        code=get_code_of("parity"),
    shell:
        "exec python -m workflow_scripts.parity --config {params.config:q} {params.look:q}"
        " {params.data:q} --nodes {params.nodes} --stall-minutes {params.stall_minutes}"
        " --record {output:q} --error-log {log:q}"
