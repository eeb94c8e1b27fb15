"""Pack the records of this machine's rows into one file, for a table that is made elsewhere."""

from pathlib import Path

from semask.comparison.bundle import pack
from semask.workflow import guard
from semask.workflow.options import new_file


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--experiment", required=True, help="name of the experiment")
    parser.add_argument("--results", type=Path, required=True, help="folder that the files are in")
    parser.add_argument("--bundle", type=new_file, required=True, help="file to write")
    parser.add_argument(
        "--sign", type=Path, metavar="KEY",
        help="sign it with this SSH key: BUNDLE.sig is made beside it",
    )  # fmt: skip
    parser.add_argument("files", nargs="+", type=Path, help="files to pack, below the folder")
    arguments = parser.parse_args()
    names = [str(path.relative_to(arguments.results)) for path in arguments.files]
    digest = pack(arguments.bundle, arguments.experiment, arguments.results, names, arguments.sign)
    print(f"{arguments.bundle}: {len(names)} files, digest {digest}")


if __name__ == "__main__":
    guard.run(main)
