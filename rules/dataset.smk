"""The data set.

Needs: nothing for streets, which is made here; otherwise the folder dataset.root.
Makes: the list of its cities. What is in them is looked up when the labels are planned, so files
that are added later are noticed.
"""


checkpoint dataset:
    output:
        f"{LABELS}/dataset.json",
    log:
        f"{LABELS}/logs/dataset.log",
    benchmark:
        f"{LABELS}/logs/dataset.benchmark.tsv"
    conda:
        "../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=1000,
    params:
        config=json.dumps(
            {
                key: config["dataset"][key]
                for key in ("name", "root", "streets")
                if key != "streets" or config["dataset"]["name"] == "streets"
            }
        ),
        code=get_code_of("dataset"),
    shell:
        "python -m workflow_scripts.dataset --config {params.config:q}"
        " --processes {threads} --output {output:q} --error-log {log:q}"
