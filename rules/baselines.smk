"""Baselines: what can be reached without a model.

Needs: the manifests of both splits.
Makes: a record with the mIoU of the best constant prediction and of the best classifier by colour.
"""


rule baselines:
    input:
        train=TRAIN_MANIFEST,
        val=VAL_MANIFEST,
    output:
        f"{RESULTS}/baselines.json",
    log:
        f"{RESULTS}/logs/baselines.log",
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        data=get_data,
        experiment=config["experiment"],
        num_classes=config["model"]["num_classes"],
        code=get_code_of("baselines"),
    shell:
        "exec python -m workflow_scripts.baselines --experiment {params.experiment:q}"
        " --num-classes {params.num_classes} --train-manifest {input.train:q}"
        " --val-manifest {input.val:q} {params.data:q}"
        " --record {output:q} --error-log {log:q}"
