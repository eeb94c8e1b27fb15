"""The data set.

Needs: nothing for streets, which is made here; otherwise the folder dataset.root, downloaded first
if dataset.download says so.
Makes: the list of its parts. What is in them is looked up when the labels are planned, so files
that are added later are noticed.
"""


checkpoint dataset:
    input:
        # unpacked once and for all: another mirror or edited code is no reason to start anew
        kept(f"{LABELS}/download.json", True) if config["dataset"]["download"] else [],
    output:
        local(f"{LABELS}/dataset.json"),
    log:
        f"{LABELS}/logs/dataset.log",
    benchmark:
        f"{LABELS}/logs/dataset.benchmark.tsv"
    localrule: True
    conda:
        "../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=1000,
    params:
        config=PLAN.dataset_config(),
        code=get_code_of("dataset", also=[PLAN.dataset.__name__]),
    shell:
        "exec python -m workflow_scripts.dataset --config {params.config:q}"
        " --processes {threads} --output {output:q} --error-log {log:q}"
