"""Training: full runs for the accuracy, performance runs for the speed.

Needs: the manifests of both splits, which each run verifies as the stage `verify` does, and the
weights that training starts from, if any. A full run stores what dataset.prepared lacks by itself.
Makes: the log and the record of a run, and of full runs the best and the last weights. The state of
an unfinished run lies in its work directory, which is no output: a run that is interrupted goes on
from there.
"""

from semask.workflow.start import without

# The scores during training come from the evaluation code, but what is trained does not: the
# evaluation stage scores the kept weights again. Nor does a look at a file's digest decide it.
NO_TRAINING_CODE = [
    *(f"semask.evaluation.{name}" for name in ("figures", "prediction", "split")),
    "semask.fetching.fetch",
]
FULL = RUN.replace("{mode}", "full")
# what only changes how the same images, labels and weights come in is no reason to train again
STORED = [] if PREPARED is None else kept(LIST, True)
PRETRAINED = told(PLAN.pretrained)()
PRETRAINED = [] if PRETRAINED is None else kept(*PRETRAINED)
SOURCE = PLAN.published("--pretrained-source", config["model"]["pretrained"])
PERFORMANCE = RUN.replace("{mode}", "performance")
OF_FULL_RUNS = ("iterations", "epochs", "evaluate_every")


rule train:
    input:
        train=TRAIN_MANIFEST,
        val=VAL_MANIFEST,
        pretrained=PRETRAINED,
    output:
        record=f"{FULL}/train.json",
        log=f"{FULL}/log.jsonl",
        best=f"{FULL}/best.safetensors",
        last=f"{FULL}/last.safetensors",
    log:
        f"{FULL}/train.log",
    benchmark:
        f"{FULL}/train.benchmark.tsv"
    # a run that was killed or asked to leave goes on; one whose input is wrong says so once
    retries: RETRIES
    conda:
        lambda wildcards: f"../envs/{PLAN.environment(wildcards.device)}.yaml"
    threads: get_cores_of
    resources:
        gpu=get_count_of("gpu"),
        npu=get_count_of("npu"),
        mem_mb=lambda wildcards: 2000 * get_row_of(wildcards)["processes"],
        attempt=lambda wildcards, attempt: attempt,
    params:
        # how images come in, and how speed is measured, change no result: no reason to train again
        config=lambda wildcards, resources: PLAN.training_config(),
        computed=without(PLAN.training_config(), "loader", "performance"),
        run=lambda wildcards: PLAN.run_settings(
            get_present_row_of("full/seed{seed}/train.json")(wildcards),
            "full",
            wildcards.seed,
        ),
        nodes=get_nodes,
        data=get_data,
        work=f"{FULL}/work",
        prepared=lambda wildcards, resources: words("--prepared", PREPARED),
        pretrained=lambda wildcards, input: words("--pretrained", input.pretrained),
        source=lambda wildcards, resources: SOURCE,
        fault_tolerance=lambda wildcards, resources: json.dumps(
            config["fault_tolerance"]
        ),
        published=lambda wildcards, resources: PLAN.complete(),
        code=get_code_of("train", leave_out=NO_TRAINING_CODE),
        weights=lambda wildcards, output: ["--best", output.best, "--last", output.last],
    shell:
        "exec python -m workflow_scripts.train --config {params.config:q}"
        " --run {params.run:q} --nodes {params.nodes}"
        " --train-manifest {input.train:q} --val-manifest {input.val:q}"
        " {params.data:q} --work {params.work:q}"
        " --published {params.published:q} {params.prepared:q} {params.pretrained:q}"
        " {params.source:q}"
        " --fault-tolerance {params.fault_tolerance:q} --attempt {resources.attempt} --keep-work"
        " --output-log {output.log:q} {params.weights:q} --record {output.record:q}"
        " --error-log {log:q}"


# params that are named here replace those of train, the others stay
use rule train as measure with:
    input:
        train=TRAIN_MANIFEST,
        val=VAL_MANIFEST,
        prepared=STORED,
        pretrained=PRETRAINED,
    output:
        record=f"{PERFORMANCE}/train.json",
        log=f"{PERFORMANCE}/log.jsonl",
    log:
        f"{PERFORMANCE}/train.log",
    benchmark:
        f"{PERFORMANCE}/train.benchmark.tsv"
    # rows take turns where runs are repeated
    priority: lambda wildcards: turn(config, get_row_of(wildcards), wildcards.seed)
    # all cores: beside a run that measures speed nothing else may run. On a cluster, where `--jobs` is
    # given and not `--cores`, its profile sees to that.
    threads: lambda wildcards: workflow.resource_settings.cores or get_cores_of(wildcards)
    params:
        # a run of another length, which is scored nowhere
        computed=without(
            PLAN.training_config(), *(f"training.{key}" for key in OF_FULL_RUNS)
        ),
        run=lambda wildcards: PLAN.run_settings(
            get_present_row_of("performance/seed{seed}/train.json")(wildcards),
            "performance",
            wildcards.seed,
        ),
        work=f"{PERFORMANCE}/work",
        prepared=words("--prepared", PREPARED),
        weights=[],
