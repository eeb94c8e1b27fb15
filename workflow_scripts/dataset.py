"""Make the data set, or look at a folder that is there, and list the parts of its splits."""

import json
from pathlib import Path

from semask.data import sets
from semask.files import write_atomically
from workflow_scripts import _guard


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the key dataset, as JSON")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True, help="list of parts, JSON")
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
