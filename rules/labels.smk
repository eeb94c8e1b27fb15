"""Labels: annotations to train ids, part by part, then one manifest per split.

Needs: the data set's annotations.
Makes: label images and the manifests that name every image and label with its digest. The label
images are no outputs of a rule: the manifest speaks for them, and what is unchanged is kept. Both
splits are verified first of all.
"""


rule labels:
    input:
        get_sources_of,
    output:
        local(f"{LABELS}/{{split}}/{{part}}.json"),
    log:
        f"{LABELS}/logs/{{split}}-{{part}}.log",
    benchmark:
        f"{LABELS}/logs/{{split}}-{{part}}.benchmark.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        dataset=config["dataset"]["name"],
        data=get_data,
        code=get_code_of(
            "labels", leave_out=sets.NO_LABEL_CODE, also=[PLAN.dataset.__name__]
        ),
    shell:
        "exec python -m workflow_scripts.labels --dataset {params.dataset:q} {params.data:q}"
        " --split {wildcards.split:q} --part {wildcards.part:q}"
        " --processes {threads} --output {output:q} --error-log {log:q}"


rule manifest:
    input:
        lambda wildcards: [
            local(f"{LABELS}/{wildcards.split}/{part}.json")
            for part in get_parts(wildcards.split)
        ],
    output:
        local(f"{LABELS}/{{split}}.json"),
    log:
        f"{LABELS}/logs/{{split}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        code=get_code_of("manifest"),
    shell:
        "exec python -m workflow_scripts.manifest --parts {input:q} --output {output:q} --error-log {log:q}"


rule verify:
    input:
        train=TRAIN_MANIFEST,
        val=VAL_MANIFEST,
    output:
        local(f"{LABELS}/verified.json"),
    log:
        f"{LABELS}/logs/verified.log",
    # before hours of training
    priority: 1000
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        published=PLAN.complete(),
        code=get_code_of("verify"),
    shell:
        "exec python -m workflow_scripts.verify --train-manifest {input.train:q}"
        " --val-manifest {input.val:q} --published {params.published:q} --output {output:q}"
        " --error-log {log:q}"
