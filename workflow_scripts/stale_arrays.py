"""List stored arrays that belong to no data set any more, and remove them if asked to."""

from pathlib import Path

from semask.base.files import GIB
from semask.data.preparing import stale
from semask.workflow import guard


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="dataset.prepared")
    parser.add_argument("--delete", action="store_true", help="remove them")
    arguments = parser.parse_args()
    found, gone = stale(arguments.folder)
    size = sum(path.stat().st_size for path in found)
    for path in found:
        print(path)
    for path in gone:
        print(f"{path}: gone, so the arrays of its images are among them")
    print(f"{len(found)} arrays of no data set, {size / GIB:.2f} GiB", flush=True)
    if arguments.delete:
        stale(arguments.folder, delete=True)
        print("removed")


if __name__ == "__main__":
    guard.run(main)
