"""Store the training images and labels as plain arrays, which need no decoding."""

from semask.data.manifest import read_manifest
from semask.data.preparing import note, prepare
from semask.workflow import guard
from semask.workflow.options import new_file, new_folder


def main() -> None:
    parser = guard.parser(__doc__, "--train-manifest", "--root", "--labels", "--processes")
    parser.add_argument("--folder", type=new_folder, required=True, help="for the arrays")
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
