"""Rows that go to another machine's table, and rows that come from one.

Needs: the records of this machine's rows; the bundles that the config names.
Makes: a bundle of the former (`snakemake bundle`); a folder of the latter's records, all looked at.
"""

# beside the files that it speaks of, which are no outputs
IMPORTED = local(f"{RESULTS}/imported/{{bundle}}/bundle.json")
get_bundled = told(lambda: crossed.bundled(PLAN))


rule bundle:
    input:
        files=lambda wildcards: get_bundled(),
        key=told(lambda wildcards: [local(key) for key in signed.signing_key(PLAN)]),
    output:
        bundle=f"{RESULTS}/bundle.zip",
        signature=(
            [f"{RESULTS}/bundle.zip.sig"]
            if config["bundle"]["sign"] is not None
            else []
        ),
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
        results=lambda wildcards, input: str(input.files[0]).removesuffix(
            get_bundled()[0].removeprefix(RESULTS)
        ),
        sign=words("--sign", config["bundle"]["sign"]),
        code=get_code_of("bundle"),
    shell:
        "exec python -m workflow_scripts.bundle --experiment {params.experiment:q}"
        " --results {params.results:q} --bundle {output.bundle:q} {params.sign:q}"
        " --error-log {log:q} -- {input.files:q}"


rule unpack:
    input:
        bundle=told(lambda wildcards: local(PLAN.bundle(wildcards.bundle))),
        # before anything is unpacked
        signature=told(
            lambda wildcards: [
                local(x) for x in signed.signature(PLAN, wildcards.bundle)
            ]
        ),
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
            "--digest", PLAN.imports[wildcards.bundle]["digest"]
        ),
        signers=words("--allowed-signers", config["imports"]["allowed_signers"]),
        # an older file in the place of a newer one is another bundle, too; not by way of the input,
        # since Snakemake compares no param that is made from it
        outline=told(lambda wildcards: PLAN.bundle_outline(wildcards.bundle)),
        code=get_code_of("unpack"),
    shell:
        "exec python -m workflow_scripts.unpack --bundle {input.bundle:q} {params.digest:q}"
        " {params.signers:q}"
        " --manifest {output:q} --error-log {log:q}"
