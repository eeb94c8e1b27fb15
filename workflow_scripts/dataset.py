"""Make the data set, or look at a folder that is there, and list the parts of its splits."""

import json
from pathlib import Path

from semask.base.errors import InputError
from semask.base.files import write_atomically
from semask.data import sets
from semask.workflow import guard
from semask.workflow.json_options import add_json, config_schema
from semask.workflow.options import new_file, new_folder


def main() -> None:
    parser = guard.parser(__doc__, "--processes")
    schema = {**config_schema("dataset"), "required": ["name", "root"]}
    add_json(parser, "--config", schema, help="the key dataset, as JSON")
    parser.add_argument("--output", type=new_file, required=True, help="list of parts, JSON")
    arguments = parser.parse_args()
    config = arguments.config
    root = Path(config["root"])
    dataset = sets.load(config["name"])
    generate = getattr(dataset, "generate", None)
    if generate is not None:
        if config["name"] not in config:
            raise InputError(f"--config: {config['name']}: missing; say what is to be made")
        new_folder(config["root"])
        generate(root, config[config["name"]], arguments.processes)
    parts = sets.list_parts(dataset, root)
    write_atomically(arguments.output, json.dumps({"name": config["name"], **parts}) + "\n")


if __name__ == "__main__":
    guard.run(main)
