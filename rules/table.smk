"""The table and the report's page.

Needs: the records of all runs in the config, of their evaluations, of the looks at their devices,
of the baselines and of the model's facts, the published figures, and for the plots the runs' logs and pictures.
Makes: the table as Markdown, CSV and JSON, and what `snakemake --report` puts together.
"""


rule table:
    input:
        trained=PLAN.runs("train.json", "full", "performance"),
        evaluated=PLAN.runs("evaluate.json", "full"),
        agreement=(
            PLAN.runs("agreement.json", "full")
            if config["evaluation"]["agreement"]
            else []
        ),
        looked=PLAN.parity_records(),
        profiled=PLAN.profiles(),
        crossed=told(lambda wildcards: crossed.cross_records(PLAN)),
        # their matrices and pictures
        beside=told(
            lambda wildcards: [
                file
                for record in crossed.cross_records(PLAN)
                for file in crossed.files_of(record)[1:]
            ]
        ),
        # runs look at their data themselves, so that a look alone runs none of them again
        verified=local(f"{LABELS}/verified.json"),
        baselines=f"{RESULTS}/baselines.json",
        facts=f"{RESULTS}/facts.json",
        imported=[local(path) for path in expand(str(IMPORTED), bundle=PLAN.imports)],
        logs=PLAN.runs("log.jsonl", "full", "performance"),
        pictures=PLAN.runs("predictions.png", "full"),
        published=workflow.source_path("../published/published.csv"),
        texts=[
            workflow.source_path(f"../report/{name}")
            for name in (
                "page.html.jinja",
                "page.css",
                *(f"{x}.rst" for x in CAPTIONS),
            )
        ],
    output:
        [
            report(
                f"{RESULTS}/report/{name}.svg",
                category="Plots",
                caption=f"../report/{name}.rst",
                labels={"plot": name},
            )
            for name in PLOTS
        ],
        markdown=report(
            f"{RESULTS}/table.md", category="Table", labels={"form": "Markdown"}
        ),
        csv=report(f"{RESULTS}/table.csv", category="Table", labels={"form": "CSV"}),
        json=report(f"{RESULTS}/table.json", category="Table", labels={"form": "JSON"}),
        page=report(
            f"{RESULTS}/report/page.html", category="Table", labels={"form": "page"}
        ),
    log:
        f"{RESULTS}/logs/table.log",
    localrule: True
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        # where a storage provider has its outputs, too
        report=lambda wildcards, output: str(Path(output.page).parent),
        rows=told(lambda wildcards: PLAN.table_rows()),
        sources=config["table"]["published"],
        equivalence=json.dumps(config["equivalence"]),
        left_out=told(lambda wildcards: crossed.left_out(PLAN)),
        # where a storage provider puts its copies, which the table leaves out of names
        copies=lambda wildcards, input: words(
            "--copies", str(input.facts).removesuffix(f"{RESULTS}/facts.json")
        ),
        # what failed to be unpacked is gone, and would not be missed where the bundle is an old one
        bundles=told(lambda wildcards: [PLAN.bundle_outline(x) for x in PLAN.imports]),
        code=get_code_of("table"),
    shell:
        "exec python -m workflow_scripts.table --rows {params.rows:q} --trained {input.trained:q}"
        " --evaluated {input.evaluated:q} --looked {input.looked:q}"
        " --profiled {input.profiled:q} --crossed {input.crossed:q} --baselines {input.baselines:q} --facts {input.facts:q}"
        " --imported {input.imported:q} --published {input.published:q}"
        " --sources {params.sources:q} --equivalence {params.equivalence:q} {params.copies:q}"
        " --left-out {params.left_out:q}"
        " --report {params.report:q} --texts {input.texts:q}"
        " --markdown {output.markdown:q} --csv {output.csv:q} --json {output.json:q} --error-log {log:q}"
