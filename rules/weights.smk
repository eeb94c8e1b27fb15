"""Weights that others published.

Needs: the network, and the list of weights in published/weights.csv.
Makes: one of the files of that list, in the folder downloads.weights.
"""


rule weights:
    output:
        local(f"{WEIGHTS}/{{file}}"),
    log:
        f"{WEIGHTS}/logs/{{file}}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, PLAN.weights)),
    # nodes of a cluster often have no network
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        source=lambda wildcards: PLAN.weights_source(wildcards.file),
        # Snakemake deletes an output before it makes it again: what is fetched is kept elsewhere
        fetched=f"{WEIGHTS}/fetched/{{file}}",
        lock=config["downloads"]["lock"],
        mirrors=json.dumps(config["downloads"]["mirrors"]),
        code=get_code_of("fetch"),
    shell:
        "exec python -m workflow_scripts.fetch --source {params.source:q} --fetched {params.fetched:q}"
        " --lock {params.lock:q} --mirrors {params.mirrors:q} --output {output:q} --error-log {log:q}"
