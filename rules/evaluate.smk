"""Evaluation of the weights that a full run kept.

Needs: the run's record and weights, and the validation manifest.
Makes: the record of the evaluation and a picture of a few predictions.
"""


rule evaluate:
    input:
        record=f"{FULL}/train.json",
        best=f"{FULL}/best.safetensors",
        last=f"{FULL}/last.safetensors",
        val=f"{LABELS}/val.json",
    output:
        record=f"{FULL}/evaluate.json",
        pictures=f"{FULL}/predictions.png",
    log:
        f"{FULL}/evaluate.log",
    benchmark:
        f"{FULL}/evaluate.benchmark.tsv"
    conda:
        lambda wildcards: f"../envs/{wildcards.device}.yaml"
    threads: lambda wildcards: get_row_of(wildcards)["threads"]
    resources:
        gpu=lambda wildcards: int(wildcards.device == "gpu"),
        npu=lambda wildcards: int(wildcards.device == "npu"),
        mem_mb=3000,
    params:
        root=get_root,
        labels=get_labels_folder,
        workers=config["loader"]["workers"],
        predictions=config["evaluation"]["predictions"],
        code=get_code_of("evaluate"),
    shell:
        "python -m workflow_scripts.evaluate --train-record {input.record:q}"
        " --best {input.best:q} --last {input.last:q} --val-manifest {input.val:q}"
        " --root {params.root:q} --labels {params.labels:q} --workers {params.workers}"
        " --predictions {params.predictions} --pictures {output.pictures:q}"
        " --record {output.record:q} --error-log {log:q}"
