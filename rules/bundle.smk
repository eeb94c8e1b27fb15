"""Rows that go to another machine's table, and rows that come from one.

Needs: the records of this machine's rows; the bundles that the config names.
Makes: a bundle of the former (`snakemake bundle`); a folder of the latter's records, all looked at.
"""

# beside the files that it speaks of, which are no outputs
IMPORTED = local(f"{RESULTS}/imported/{{bundle}}/bundle.json")


rule bundle:
    input:
        get_bundled(),
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
        results=get_results,
        code=get_code_of("bundle"),
    shell:
        "exec python -m workflow_scripts.bundle --experiment {params.experiment:q}"
        " --results {params.results:q} --bundle {output:q} --error-log {log:q} -- {input:q}"


rule unpack:
    input:
        get_bundle_of,
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
        digest=get_bundle_digest_option,
        # an older file in the place of a newer one is another bundle, too
        outline=get_bundle_outline,
        code=get_code_of("unpack"),
    shell:
        "exec python -m workflow_scripts.unpack --bundle {input:q} {params.digest:q}"
        " --manifest {output:q} --error-log {log:q}"
