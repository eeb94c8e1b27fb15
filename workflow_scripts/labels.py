"""Convert one city's annotations to train ids and write its manifest."""

from pathlib import Path

from semask.data.labels import convert_city
from semask.data.manifest import write_manifest
from workflow_scripts import _guard


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--split", required=True)
    parser.add_argument("--city", required=True)
    parser.add_argument("--labels", type=Path, required=True, help="folder for converted labels")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True, help="the city's manifest, JSON")
    arguments = parser.parse_args()
    city = convert_city(
        arguments.root,
        arguments.split,
        arguments.city,
        arguments.labels,
        processes=arguments.processes,
    )
    write_manifest(arguments.output, city)


if __name__ == "__main__":
    _guard.run(main)
