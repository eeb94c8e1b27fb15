"""Make the streets data set, or look at a folder that is there, and list its cities."""

import json
from pathlib import Path

from semask.data import cityscapes
from semask.data.streets import generate
from semask.files import write_atomically
from workflow_scripts import _guard


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="the key dataset, as JSON")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True, help="list of cities, JSON")
    arguments = parser.parse_args()
    dataset = arguments.config
    root = Path(dataset["root"])
    if dataset["name"] == "streets":
        generate(root, processes=arguments.processes, **dataset["streets"])
    cities = cityscapes.list_cities(root)
    write_atomically(arguments.output, json.dumps({"name": dataset["name"], **cities}) + "\n")


if __name__ == "__main__":
    _guard.run(main)
