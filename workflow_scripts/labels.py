"""Convert one part's annotations to train ids and write its manifest."""

from semask.data import sets
from semask.data.labels import convert_part
from semask.data.manifest import write_manifest
from semask.workflow import guard
from semask.workflow.options import new_file, new_folder


def main() -> None:
    parser = guard.parser(__doc__, "--root", "--processes")
    parser.add_argument("--dataset", required=True, help="name of the data set")
    parser.add_argument("--split", required=True)
    parser.add_argument("--part", required=True)
    parser.add_argument(
        "--labels", type=new_folder, required=True, help="folder for converted labels"
    )
    parser.add_argument("--output", type=new_file, required=True, help="the part's manifest, JSON")
    arguments = parser.parse_args()
    part = convert_part(
        sets.load(arguments.dataset),
        arguments.root,
        arguments.split,
        arguments.part,
        arguments.labels,
        processes=arguments.processes,
    )
    write_manifest(arguments.output, part)


if __name__ == "__main__":
    guard.run(main)
