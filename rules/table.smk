"""The table.

Needs: the records of all runs in the config, of their evaluations, of the baselines and of the
model's facts, and the published figures.
Makes: the table as Markdown, CSV and JSON.
"""


rule table:
    input:
        trained=get_runs("train.json", "full", "performance"),
        evaluated=get_runs("evaluate.json", "full"),
        agreement=(
            get_runs("agreement.json", "full")
            if config["evaluation"]["agreement"]
            else []
        ),
        baselines=f"{RESULTS}/baselines.json",
        facts=f"{RESULTS}/facts.json",
        imported=[
            local(path) for path in expand(str(IMPORTED), bundle=config["imports"])
        ],
        published=workflow.source_path("../published/published.csv"),
    output:
        markdown=f"{RESULTS}/table.md",
        csv=f"{RESULTS}/table.csv",
        json=f"{RESULTS}/table.json",
    log:
        f"{RESULTS}/logs/table.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        rows=json.dumps(config["rows"]),
        sources=config["table"]["published"],
        copies=get_copies_option,
        code=get_code_of("table"),
    shell:
        "exec python -m workflow_scripts.table --rows {params.rows:q} --trained {input.trained:q}"
        " --evaluated {input.evaluated:q} --baselines {input.baselines:q} --facts {input.facts:q}"
        " --imported {input.imported:q} --published {input.published:q} --sources {params.sources:q} {params.copies:q}"
        " --markdown {output.markdown:q} --csv {output.csv:q} --json {output.json:q} --error-log {log:q}"
