"""Preparation: training images and labels as plain arrays, which need no decoding.

Needs: the manifest of the training split, and dataset.prepared for where to.
Makes: the arrays, named by their digests, and a list of how many they are. What is there already is
kept. The room that they take is said and checked before anything is written.
"""


rule prepare:
    input:
        train=TRAIN_MANIFEST,
        verified=VERIFIED,
    output:
        local(f"{PREPARED}/train.json"),
    log:
        f"{PREPARED}/train.log",
    benchmark:
        f"{PREPARED}/train.benchmark.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: lambda wildcards: workflow.resource_settings.cores or 8
    resources:
        mem_mb=2000,
    params:
        root=lambda wildcards: ROOT,
        labels=lambda wildcards: LABELS,
        folder=PREPARED,
        code=get_code_of("prepare"),
    shell:
        "exec python -m workflow_scripts.prepare --train-manifest {input.train:q} --root {params.root:q}"
        " --labels {params.labels:q} --folder {params.folder:q} --processes {threads}"
        " --output {output:q} --error-log {log:q}"
