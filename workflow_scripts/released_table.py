"""Make the table of the released checkpoints from their records and the published figures."""

from pathlib import Path

from semask.base.records import read_record
from semask.comparison.published import published_accuracy
from semask.comparison.recomputed import check_processes, check_scores
from semask.report.released_table import build_released_table, write_released_table
from semask.workflow import guard
from semask.workflow.options import new_file


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--records", type=Path, nargs="+", required=True)
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--markdown", type=new_file, required=True)
    parser.add_argument("--csv", type=new_file, required=True)
    parser.add_argument("--json", type=new_file, required=True)
    arguments = parser.parse_args()
    records = {str(path): read_record(path, "released") for path in arguments.records}
    for name, record in records.items():
        check_processes(name, record)
        check_scores(name, record)
    table = build_released_table(
        records, published_accuracy(arguments.published, "semask_repo", arguments.dataset)
    )
    write_released_table(table, arguments.markdown, arguments.csv, arguments.json)


if __name__ == "__main__":
    guard.run(main)
