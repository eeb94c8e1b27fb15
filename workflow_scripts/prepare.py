"""Store the training images and labels as plain arrays, which need no decoding."""

from pathlib import Path

from semask.data.manifest import read_manifest
from semask.data.preparing import note, prepare
from semask.workflow import guard
from semask.workflow.options import new_file, new_folder, whole_number


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--train-manifest", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--labels", type=Path, required=True, help="converted labels")
    parser.add_argument("--folder", type=new_folder, required=True, help="for the arrays")
    parser.add_argument("--processes", type=whole_number("--processes", 1), default=1)
    parser.add_argument("--output", type=new_file, required=True, help="what is stored, JSON")
    arguments = parser.parse_args()
    made = prepare(
        read_manifest(arguments.train_manifest),
        arguments.root,
        arguments.labels,
        arguments.folder,
        arguments.processes,
    )
    note(arguments.output, arguments.train_manifest, made)


if __name__ == "__main__":
    guard.run(main)
