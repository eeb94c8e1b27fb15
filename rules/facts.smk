"""Facts of the model: parameters, and multiply-accumulates of an image.

Needs: the config's model, nothing else.
Makes: a record that the table shows.
"""


rule facts:
    output:
        f"{RESULTS}/facts.json",
    log:
        f"{RESULTS}/logs/facts.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        # the weights that training starts from change no fact
        model=json.dumps(model_of(config)),
        code=get_code_of("facts"),
    shell:
        "exec python -m workflow_scripts.facts --model {params.model:q} --record {output:q}"
        " --error-log {log:q}"
