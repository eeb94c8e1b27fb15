"""Count parameters and multiply-accumulates of a model, or print those of docs/model.md."""

from semask.base import provenance, startup
from semask.base.records import write_record
from semask.workflow import guard
from semask.workflow.json_options import MODEL, add_json
from semask.workflow.options import new_file

with startup.imports():
    from semask.model.facts import model_facts, variants_tables


def main() -> None:
    parser = guard.parser(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--variants", action="store_true", help="print tables of all variants")
    add_json(what, "--model", MODEL, required=False, help="the config's model, JSON")
    parser.add_argument("--record", type=new_file, help="file of the model's record")
    arguments = parser.parse_args()
    if arguments.variants:
        print(variants_tables())
        return
    if arguments.record is None:
        parser.error("--model needs --record")
    started = provenance.now()
    facts = model_facts(arguments.model)
    write_record(
        arguments.record,
        "facts",
        run=provenance.describe_run("workflow_scripts.facts", started),
        figures=facts,
    )


if __name__ == "__main__":
    guard.run(main)
