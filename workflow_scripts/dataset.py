"""Make the data set, or look at a folder that is there, and list the parts of its splits."""

import json
from pathlib import Path

from semask.data import sets
from semask.files import write_atomically
from workflow_scripts import _guard
from workflow_scripts._json_options import json_value
from workflow_scripts._options import new_file, whole_number

# what a data set's module needs to make itself is under its name, and its own to check
_CONFIG = {
    "type": "object",
    "required": ["name", "root"],
    "properties": {"name": {"type": "string"}, "root": {"type": "string", "minLength": 1}},
    "additionalProperties": {"type": "object"},
}


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument(
        "--config",
        type=json_value("--config", _CONFIG),
        required=True,
        help="the key dataset, as JSON",
    )
    parser.add_argument("--processes", type=whole_number("--processes", 1), default=1)
    parser.add_argument("--output", type=new_file, required=True, help="list of parts, JSON")
    arguments = parser.parse_args()
    config = arguments.config
    root = Path(config["root"])
    dataset = sets.load(config["name"])
    generate = getattr(dataset, "generate", None)
    if generate is not None:
        generate(root, config[config["name"]], arguments.processes)
    parts = sets.list_parts(dataset, root)
    write_atomically(arguments.output, json.dumps({"name": config["name"], **parts}) + "\n")


if __name__ == "__main__":
    _guard.run(main)
