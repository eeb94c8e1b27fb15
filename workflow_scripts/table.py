"""Make the table and the report's page from the records and the published figures."""

from collections.abc import Iterable
from pathlib import Path

from semask.base.records import read_record
from semask.comparison.crossed import check_cross, files_of
from semask.comparison.imported import read_imported
from semask.comparison.published import read_published
from semask.comparison.recomputed import LOG, check_evaluation, check_parity, check_training
from semask.comparison.rows import Record, check_same_runs, of_kind, training_of
from semask.report.page import write_report
from semask.report.table import build_table, write_table
from semask.training.log_file import read_log
from semask.verdict.pairs import Judging
from semask.workflow import guard
from semask.workflow.json_options import add_json, config_schema
from semask.workflow.options import new_file


def main() -> None:
    parser = guard.parser(__doc__)
    add_json(parser, "--rows", config_schema("rows"), help="the config's rows, JSON")
    parser.add_argument("--trained", type=Path, nargs="+", required=True, help="training records")
    parser.add_argument("--evaluated", type=Path, nargs="*", default=[], help="their evaluations")
    parser.add_argument("--looked", type=Path, nargs="*", default=[], help="records of parity")
    parser.add_argument(
        "--crossed", type=Path, nargs="*", default=[], help="records of weights scored elsewhere"
    )
    parser.add_argument("--left-out", nargs="*", default=[], help="why others were not scored")
    parser.add_argument("--profiled", type=Path, nargs="*", default=[], help="records of profiles")
    parser.add_argument("--baselines", type=Path, required=True, help="the baselines' record")
    parser.add_argument("--facts", type=Path, required=True, help="the record of the model's facts")
    parser.add_argument(
        "--imported", type=Path, nargs="*", default=[], help="bundle.json of unpacked bundles"
    )
    parser.add_argument("--published", type=Path, required=True, help="published figures, CSV")
    parser.add_argument("--sources", nargs="*", default=[], help="whose published figures")
    add_json(
        parser, "--equivalence", config_schema("equivalence"), help="what counts as the same, JSON"
    )
    parser.add_argument(
        "--copies",
        type=Path,
        default=Path(),
        help="folder of copies of a storage's files, left out of the names that the table shows",
    )
    parser.add_argument("--markdown", type=new_file, required=True)
    parser.add_argument("--csv", type=new_file, required=True)
    parser.add_argument("--json", type=new_file, required=True)
    parser.add_argument("--report", type=Path, help="folder for the report's page and its plots")
    parser.add_argument(
        "--texts", type=Path, nargs="*", default=[], help="of the report: page, style, captions"
    )
    arguments = parser.parse_args()
    copies = arguments.copies
    read = (*arguments.trained, *arguments.evaluated, *arguments.looked)
    paths = {_name(path, copies): path for path in read}
    trained = _read(arguments.trained, "train", copies)
    evaluated = _read(arguments.evaluated, "evaluate", copies)
    looked = _read(arguments.looked, "parity", copies)
    baselines = read_record(arguments.baselines, "baselines")
    check_same_runs(trained, evaluated, baselines, arguments.baselines)
    for name, record in trained.items():
        check_training(paths[name], record, paths[name].with_name(LOG))
    for name, record in evaluated.items():
        check_evaluation(paths[name], record, training_of(record, trained))
    for name, record in looked.items():
        check_parity(paths[name], record)
    records = {**trained, **evaluated, **looked}
    for path in arguments.crossed:
        record = records[_name(path, copies)] = read_record(path, "cross")
        check_cross(path, record, files_of(path).matrices, evaluated.values())
    imported = [read_imported(path.parent) for path in arguments.imported]

    def folder_of(name: str) -> Path:
        return paths.get(name, Path(name)).parent

    table = build_table(
        arguments.rows,
        records,
        baselines,
        read_published(arguments.published, arguments.sources),
        read_record(arguments.facts, "facts"),
        imported,
        Judging(lambda name: read_log(folder_of(name) / LOG), **arguments.equivalence),
        arguments.left_out,
    )
    write_table(table, arguments.markdown, arguments.csv, arguments.json)
    if arguments.report is not None:
        for bundle in imported:
            records |= bundle.records
        evaluations = of_kind("evaluate", records)
        pictures = {name: folder_of(name) / "predictions.png" for name in evaluations}
        pictures |= {_name(path, copies): files_of(path).pictures for path in arguments.crossed}
        write_report(
            table,
            records | _read(arguments.profiled, "profile", copies),
            lambda name: read_log(folder_of(name) / LOG),
            pictures,
            {path.name: path.read_text("utf-8") for path in arguments.texts},
            arguments.report,
        )


def _read(paths: Iterable[Path], kind: str, copies: Path) -> dict[str, Record]:
    return {_name(path, copies): read_record(path, kind) for path in paths}


def _name(path: Path, copies: Path) -> str:
    return str(path.relative_to(copies) if path.is_relative_to(copies) else path)


if __name__ == "__main__":
    guard.run(main)
