"""Rows that go to another machine's table, and rows that come from one.

Needs: the records of this machine's rows; the bundles that the config names.
Makes: a bundle of the former (`snakemake bundle`); a folder of the latter's records, all looked at.
"""

# beside the files that it speaks of, which are no outputs
IMPORTED = local(f"{RESULTS}/imported/{{bundle}}/bundle.json")


rule bundle:
    input:
        PLAN.bundled(),
    output:
        f"{RESULTS}/bundle.zip",
    log:
        f"{RESULTS}/logs/bundle.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        experiment=config["experiment"],
        # or the copies of them that a storage provider brought
        results=lambda wildcards, input: str(input[0]).removesuffix(
            PLAN.bundled()[0].removeprefix(RESULTS)
        ),
        code=get_code_of("bundle"),
    shell:
        "exec python -m workflow_scripts.bundle --experiment {params.experiment:q}"
        " --results {params.results:q} --bundle {output:q} --error-log {log:q} -- {input:q}"


rule unpack:
    input:
        told(lambda wildcards: local(PLAN.bundle(wildcards.bundle))),
    output:
        IMPORTED,
    log:
        f"{RESULTS}/logs/unpack-{{bundle}}.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        digest=lambda wildcards: words(
            "--digest", config["imports"][wildcards.bundle]["digest"]
        ),
        # an older file in the place of a newer one is another bundle, too; not by way of the input,
        # since Snakemake compares no param that is made from it
        outline=told(lambda wildcards: PLAN.bundle_outline(wildcards.bundle)),
        code=get_code_of("unpack"),
    shell:
        "exec python -m workflow_scripts.unpack --bundle {input:q} {params.digest:q}"
        " --manifest {output:q} --error-log {log:q}"
