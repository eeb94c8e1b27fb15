"""Preparation: training images and labels as plain arrays, which need no decoding.

Needs: the manifest of the training split, and dataset.prepared for where to.
Makes: the arrays, named by their digests, and a note of how many they are. What is there already is
kept, of other data sets, too. The room that they take is said and checked before anything is written.
"""

from semask.data.preparing import note_of

# by the manifest, so that data sets can share the folder
LIST = local(str(note_of(Path(TRAIN_MANIFEST), Path(PREPARED))))


rule prepare:
    input:
        train=TRAIN_MANIFEST,
        verified=VERIFIED,
    output:
        LIST,
    log:
        f"{LABELS}/logs/prepared.log",
    benchmark:
        f"{LABELS}/logs/prepared.benchmark.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: lambda wildcards: workflow.resource_settings.cores or 8
    resources:
        mem_mb=2000,
    params:
        data=get_data,
        folder=PREPARED,
        code=get_code_of("prepare"),
    shell:
        "exec python -m workflow_scripts.prepare --train-manifest {input.train:q} {params.data:q}"
        " --folder {params.folder:q} --processes {threads}"
        " --output {output:q} --error-log {log:q}"
