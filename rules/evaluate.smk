"""Evaluation of the weights that a full run kept.

Needs: the run's record and weights, and the validation manifest.
Makes: the record of the evaluation, a picture of a few predictions and the label maps of all, for
scoring the same weights on another device; where the config asks for them, the saved predictions
with their manifest, and what cityscapesscripts makes of them.
"""

# the manifest of the saved predictions, which are in the folder `predictions` beside it
SAVED = local(f"{FULL}/predictions.json")


rule evaluate:
    input:
        record=f"{FULL}/train.json",
        best=f"{FULL}/best.safetensors",
        last=f"{FULL}/last.safetensors",
        val=VAL_MANIFEST,
    output:
        **({"saved": SAVED} if config["evaluation"]["save_predictions"] else {}),
        record=f"{FULL}/evaluate.json",
        pictures=f"{FULL}/predictions.png",
        label_maps=f"{FULL}/label_maps.zip",
    log:
        f"{FULL}/evaluate.log",
    benchmark:
        f"{FULL}/evaluate.benchmark.tsv"
    conda:
        lambda wildcards: f"../envs/{PLAN.environment(wildcards.device)}.yaml"
    threads: get_cores_of
    resources:
        gpu=get_count_of("gpu"),
        npu=get_count_of("npu"),
        mem_mb=lambda wildcards: PLAN.evaluation_memory(get_row_of(wildcards)),
    params:
        data=get_data,
        # how images come in changes no result: no reason to score again
        run=lambda wildcards, resources: get_scoring_of(wildcards),
        computed=lambda wildcards: without(get_scoring_of(wildcards), "workers"),
        nodes=get_nodes,
        saved=lambda wildcards, output: words(
            "--saved-predictions", output.get("saved")
        ),
        stall_minutes=get_stall_minutes,
        code=get_code_of(
            "evaluate", leave_out=sets.NO_LABEL_CODE, also=[PLAN.dataset.__name__]
        ),
    shell:
        "exec python -m workflow_scripts.evaluate --train-record {input.record:q}"
        " --best {input.best:q} --last {input.last:q} --val-manifest {input.val:q}"
        " {params.data:q} --run {params.run:q} --nodes {params.nodes} --stall-minutes {params.stall_minutes}"
        " {params.saved:q} --label-maps {output.label_maps:q} --pictures {output.pictures:q}"
        " --record {output.record:q} --error-log {log:q}"


rule agreement:
    input:
        record=f"{FULL}/evaluate.json",
        saved=SAVED,
        val=VAL_MANIFEST,
    output:
        record=f"{FULL}/agreement.json",
    log:
        f"{FULL}/agreement.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        data=get_data,
        code=get_code_of("agreement", leave_out=sets.NO_LABEL_CODE),
    shell:
        "exec python -m workflow_scripts.agreement --evaluate-record {input.record:q}"
        " --saved-predictions {input.saved:q} --val-manifest {input.val:q}"
        " {params.data:q} --record {output.record:q} --error-log {log:q}"
