"""Download of a data set, with the config key dataset.download.

Needs: the network, and for Cityscapes a login (see docs/downloads.md).
Makes: the folder dataset.root, and a list of the archives that were unpacked there, with digests.
What is unpacked is no output of the rule: Snakemake would delete it before it runs the rule again.
"""


rule download:
    output:
        local(f"{LABELS}/download.json"),
    log:
        f"{LABELS}/logs/download.log",
    # nodes of a cluster often have no network; the login stays where it was given
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        archives=told(lambda wildcards: PLAN.archives()),
        lock=config["downloads"]["lock"],
        mirrors=json.dumps(config["downloads"]["mirrors"]),
        root=lambda wildcards: ROOT,
        code=get_code_of("download"),
    shell:
        "exec python -m workflow_scripts.download --archives {params.archives:q} --root {params.root:q}"
        " --lock {params.lock:q} --mirrors {params.mirrors:q} --output {output:q} --error-log {log:q}"
