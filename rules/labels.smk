"""Labels: annotations to train ids, city by city, then one manifest per split.

Needs: the data set's annotations.
Makes: label images and the manifests that name every image and label with its digest. The label
images are no outputs of a rule: the manifest speaks for them, and what is unchanged is kept.
"""


rule labels:
    input:
        get_sources_of,
    output:
        f"{LABELS}/{{split}}/{{city}}.json",
    log:
        f"{LABELS}/logs/{{split}}-{{city}}.log",
    benchmark:
        f"{LABELS}/logs/{{split}}-{{city}}.benchmark.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        root=get_root,
        labels=get_labels_folder,
        code=get_code_of("labels"),
    shell:
        "python -m workflow_scripts.labels --root {params.root:q}"
        " --split {wildcards.split:q} --city {wildcards.city:q} --labels {params.labels:q}"
        " --processes {threads} --output {output:q} --error-log {log:q}"


rule manifest:
    input:
        get_city_manifests_of,
    output:
        f"{LABELS}/{{split}}.json",
    log:
        f"{LABELS}/logs/{{split}}.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        code=get_code_of("manifest"),
    shell:
        "python -m workflow_scripts.manifest --cities {input:q} --output {output:q}"
        " --error-log {log:q}"
