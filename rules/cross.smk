"""Weights of one row on another row's device: what one predicted, beside what the other predicts.

Needs: the row's device; the best weights of the other row's run, its evaluation's record and label
maps, from here or from a bundle; the validation manifest.
Makes: a record, each image's confusion matrices, and a picture of where labels flip.
"""

from semask.workflow import crossed

CROSS = f"{ROW}/cross/{{of}}/seed{{seed}}"
get_weights_of = told(lambda wildcards: crossed.weights_of(PLAN, wildcards.of))


def get_files_of(wildcards):
    """The run's files, or, of those of a bundle, which are no outputs, the bundle's list of them."""
    weights = get_weights_of(wildcards)
    if weights.bundle is not None:
        return local(str(IMPORTED).format(bundle=weights.bundle))
    run = f"{RESULTS}/{weights.row}/full/seed{wildcards.seed}"
    return [f"{run}/{name}" for name in crossed.FILES]


def get_paths_of(wildcards, input):
    """Paths of evaluation's record, weights and label maps, or of the copies that a storage has."""
    weights = get_weights_of(wildcards)
    if weights.bundle is None:
        return [*input.of]
    run = Path(str(input.of)).parent / weights.row / "full" / f"seed{wildcards.seed}"
    return [str(run / name) for name in crossed.FILES]


def get_scoring_of_cross(wildcards):
    """How the weights are scored on this row's device."""
    record = f"cross/{wildcards.of}/seed{wildcards.seed}.json"
    return crossed.scoring_settings(PLAN, get_present_row_of(record)(wildcards))


rule cross:
    input:
        of=get_files_of,
        val=VAL_MANIFEST,
    output:
        record=f"{CROSS}.json",
        matrices=f"{CROSS}.npz",
        pictures=f"{CROSS}.png",
    log:
        f"{CROSS}.log",
    wildcard_constraints:
        of="([A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+",
    conda:
        lambda wildcards: f"../envs/{PLAN.environment(wildcards.device)}.yaml"
    threads: get_cores_of
    resources:
        gpu=get_count_of("gpu"),
        npu=get_count_of("npu"),
        mem_mb=lambda wildcards: PLAN.evaluation_memory(
            get_row_of(wildcards)["processes"]
        ),
    params:
        root=lambda wildcards: ROOT,
        labels=lambda wildcards: LABELS,
        of=lambda wildcards, input: [
            word
            for option, path in zip(
                ("--evaluate-record", "--best", "--label-maps"),
                get_paths_of(wildcards, input),
            )
            for word in (option, path)
        ],
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
        " --root {params.root:q} --labels {params.labels:q} --run {params.run:q}"
        " --nodes {params.nodes} --stall-minutes {params.stall_minutes}"
        " --pictures {output.pictures:q} --matrices {output.matrices:q}"
        " --record {output.record:q} --error-log {log:q}"
