"""The table: Markdown for people, CSV for pandas, JSON for the rest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semask.base.files import write_atomically
from semask.comparison.beside_published import published_rows
from semask.comparison.crossed import check_scored
from semask.comparison.imported import Imported, check_once, imported_rows
from semask.comparison.ratios import is_npu_beside_gpu, is_planted_beside_plain, port_over_original
from semask.comparison.rows import Record, measured_rows, of_kind
from semask.comparison.what_ran import warnings_of
from semask.report.markdown import to_markdown
from semask.verdict.pairs import Judging, verdicts


def build_table(
    rows: Sequence[Mapping[str, Any]],
    records: Mapping[str, Record],
    baselines: Record,
    published: Sequence[Mapping[str, Any]],
    facts: Record,
    imported: Sequence[Imported] = (),
    judging: Judging | None = None,
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that the table says, with where each figure comes from.

    `rows` are the config's; `records` are this machine's, by path: of training, evaluation, parity,
    and of weights that another row's device scored; `baselines` and `facts` are the records of
    these names. `published` are rows of `semask.comparison.published.read_published`, `imported` is
    what bundles brought. Without `judging` there is no verdict. `left_out` says why weights that
    the config asks for are scored on no other row's device.

    Returns:
        experiment, verdicts (see `semask.verdict.pairs.verdicts`), left_out, rows (see
        `semask.comparison.rows.measured_row`), npu_over_gpu, baselines, facts (see
        `semask.model.facts.model_facts`), records.

    Raises:
        InputError: a row has no record, a record is there twice, or evaluations of the weights that
            were scored elsewhere say otherwise.
    """
    lines = measured_rows(rows, records, published)
    check_once(records, imported)
    for bundle in imported:
        lines += imported_rows(bundle, records, published)
    lines += published_rows(lines, published)
    for bundle in imported:
        records = {**records, **bundle.records}
    check_scored(of_kind("cross", records), of_kind("evaluate", records))
    of_baselines = {
        name: baselines["figures"][name]["miou"] for name in ("constant", "nearest_colour")
    }
    _warn_of_useless(lines, of_baselines)
    for line, said in zip(lines, warnings_of(lines, records), strict=True):
        line["warnings"] += said
    pairs = port_over_original(lines, records, is_npu_beside_gpu)
    judged = [*pairs, *port_over_original(lines, records, is_planted_beside_plain)]
    return {
        "experiment": baselines["experiment"],
        "verdicts": [] if judging is None else verdicts(lines, judged, records, judging),
        "left_out": [f"Not scored: {said}." for said in left_out],
        "rows": lines,
        "npu_over_gpu": pairs,
        "baselines": of_baselines,
        "facts": facts["figures"],
        "records": {path: _origin(record) for path, record in sorted(records.items())},
    }


def _warn_of_useless(rows: Sequence[dict[str, Any]], baselines: Mapping[str, float]) -> None:
    floors = (
        (baselines["constant"], "constant prediction", "nothing"),
        (baselines["nearest_colour"], "classifier by colour", "little"),
    )
    for row in rows:
        acc1 = row["acc1"]["value"]
        # the baselines are of this machine's images
        if row["kind"] != "measured" or "data_fingerprint" in row["apart"] or acc1 is None:
            continue
        for floor, of, learnt in floors:
            if acc1 < floor:
                row["warnings"].append(
                    f"Acc@1 of {acc1:.2f} is below the {floor:.2f} of the best {of}: "
                    f"this model has learnt {learnt}"
                )
                break


def _origin(record: Record) -> dict[str, Any]:
    of_record = ("recipe_digest", "data_fingerprint", "weights_digest")
    split = {"train": "training", "parity": "made-up"}.get(record["kind"], "validation")
    return {
        "digest": record["digest"],
        "split": split,
        **{key: record.get(key) for key in of_record},
        **{key: record["run"][key] for key in ("code_version", "host")},
        "device": record["device"]["name"],
        "ended": record["run"]["ended"],
    }


def write_table(table: Mapping[str, Any], markdown: Path, csv: Path, json_file: Path) -> None:
    """Write what `build_table` gave in three forms."""
    write_atomically(json_file, json.dumps(table, indent=1) + "\n")
    write_atomically(csv, _frame(table["rows"]).to_csv(index=False))
    write_atomically(markdown, to_markdown(table, markdown.parent))


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One typed line per row of the table; figures in full precision."""
    numbers = ("acc1", "fps", "last_miou", "multi_scale_miou", "fps_p10", "fps_p90",
               "fps_log_window", "data_wait_share")  # fmt: skip
    lines = []
    for row in rows:
        published, difference = row["published"] or {}, row["difference"] or {}
        line = {key: row[key] for key in ("name", "kind", "source")}
        line["signed_by"] = (row.get("signed_by") or {}).get("name")
        line["apart"] = ", ".join(row["apart"])
        line |= {key: row[key]["value"] for key in numbers}
        for key in ("acc1", "fps"):
            line |= {f"{key}_{what}": row[key].get(what) for what in ("sd", "seeds", "state")}
        line["pytorch_version"], line["device"] = row["pytorch"]["value"], row["device"]["value"]
        line["skipped_steps"] = row["skipped_steps"]
        line["cpu_fallbacks"] = None if row["cpu_fallbacks"] is None else len(row["cpu_fallbacks"])
        line["warnings"] = len(row["warnings"])
        for key in ("acc1", "multi_scale_miou", "fps"):
            line[f"published_{key}"] = published.get(key)
        for key in ("acc1", "multi_scale_miou"):
            line[f"{key}_difference"] = difference.get(key)
        line["fps_log_window_over_published"] = difference.get("fps")
        line["disturbed"] = row.get("disturbed")
        lines.append(line)
    whole = ("acc1_seeds", "fps_seeds", "skipped_steps", "cpu_fallbacks")
    return pd.DataFrame(lines).astype(dict.fromkeys(whole, "Int64"))
