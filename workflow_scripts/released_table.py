"""Make the table of the released checkpoints from their records and the published figures."""

from pathlib import Path

from semask.published import published_accuracy
from semask.records import read_record
from semask.released import build_released_table, write_released_table
from workflow_scripts import _guard
from workflow_scripts._options import new_file


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--records", type=Path, nargs="+", required=True)
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--markdown", type=new_file, required=True)
    parser.add_argument("--csv", type=new_file, required=True)
    parser.add_argument("--json", type=new_file, required=True)
    arguments = parser.parse_args()
    records = {str(path): read_record(path, "released") for path in arguments.records}
    table = build_released_table(
        records, published_accuracy(arguments.published, "semask_repo", arguments.dataset)
    )
    write_released_table(table, arguments.markdown, arguments.csv, arguments.json)


if __name__ == "__main__":
    _guard.run(main)
