"""The pairs of rows of a table that are judged, and their grounds, from the rows' records."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semask.comparison.parities import differing_batches, kernels
from semask.comparison.rows import Record, of_kind, row_name
from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, UNDECIDED, Answer
from semask.verdict import same_weights, seeds, speed
from semask.verdict.answer import judge, of_looks, worst_of
from semask.verdict.field import Line, of_pair


class Judging(NamedTuple):
    """What rows are judged by, beside their records."""

    logs: Callable[[str], Sequence[Mapping[str, Any]]]  # lines, by the path of a training's record
    margin: float  # points of mIoU that make no difference
    speed: float  # part of the original's FPS by which a port may be slower


_KINDS = ("semantics", "precision", "chance")
_PLAIN = "the recipe is in plain float32: see semantics"


def verdicts(
    lines: Sequence[Line], pairs: Sequence[Line], records: Mapping[str, Record], judging: Judging
) -> list[dict[str, Any]]:
    """A verdict for each pair that may be compared, and what is said of the others.

    `pairs` are as `semask.comparison.ratios.port_over_original` gives them, `records` by path.

    Returns:
        For each pair: port, original, sentence; accurate, fast (None where it is not judged) and
        grounds: ground, answer, why, from (paths of records); field (see
        `semask.verdict.field.of_pair`). And for each measured row that is in
        no judged pair and was looked at, a sentence on what it computes, with original None; and
        one on weights that another device scored, where no pair is judged by it.
    """
    found, apart, judged = [], [], set()
    for pair in pairs:
        if reason := _not_judged(pair):
            said = f"{pair['npu']} against {pair['gpu']} is not judged: {reason}"
            apart.append(_unjudged(pair["npu"], pair["gpu"], said))
            continue
        judged |= {*pair["rows"]}
        port, original = (lines[place] for place in pair["rows"])
        found.append(_verdict(port, original, records, judging))
    for place, line in enumerate(lines):
        if place not in judged and line["kind"] == "measured" and line["parity"]["from"]:
            found.append(_unjudged(line["name"], None, _alone(line, records)))
    used = {path for verdict in found for ground in verdict["grounds"] for path in ground["from"]}
    for path, record in of_kind("cross", records).items():
        if path not in used:
            said = _scored_elsewhere(record, judging.margin)
            found.append(_unjudged(row_name(record["row"]), None, said))
    return found + apart


def _unjudged(port: str, original: str | None, sentence: str) -> dict[str, Any]:
    return {"port": port, "original": original, "sentence": sentence, "accurate": None,
            "fast": None, "grounds": [], "field": []}  # fmt: skip


def _not_judged(pair: Line) -> str:
    if pair["kind"] == "published":
        return "one published figure each, no spread"
    return f"they differ in {', '.join(pair['differing'])}" if pair["differing"] else ""


def _alone(line: Line, records: Mapping[str, Record]) -> str:
    """What is said of a row that nothing is held against."""
    worst = worst_of(_of_device(line, records))
    name, why = line["name"], worst.why.partition(";")[0]
    return {
        SHOWN: f"{name} computes what the model defines, as float64 on the CPU has it",
        UNDECIDED: f"Whether {name} computes what the model defines is undecided: {why}",
        NOT_RUN: f"Whether {name} computes what the model defines was not looked at whole: {why}",
    }.get(worst.answer, f"{name} does not compute what the model defines: {why}")


def _scored_elsewhere(record: Record, margin: float) -> str:
    """What is said of weights that another row's device scored, where no pair is judged by it."""
    here, there = row_name(record["row"]), row_name(record["weights_of"]["row"])
    answer, why = same_weights.answer(record, margin)
    if answer == SHOWN:
        return f"With the weights of {there}, {here} predicts the same: {why.partition(';')[0]}"
    return f"That {here} predicts the same with the weights of {there} is {answer}: {why}"


def _of_device(line: Line, records: Mapping[str, Record]) -> dict[str, Answer]:
    """What the looks at a row's device show, by kind."""
    looks = line["parity"]
    answers = {kind: of_looks(looks["grounds"], kind) for kind in _KINDS}
    recipes = (records[path]["recipe"] for path in looks["from"])
    if any(same_weights.computed_with(recipe) == "fp32" for recipe in recipes):
        # there is no look of its own, and one fault is refuted once
        of_it = answers["semantics"].answer
        answers["precision"] = Answer(UNDECIDED if of_it == REFUTED else of_it, _PLAIN)
    return answers


def _verdict(
    port: Line, original: Line, records: Mapping[str, Record], judging: Judging
) -> dict[str, Any]:
    of_device = _of_device(port, records)
    reference = of_looks(original["parity"]["grounds"], "semantics")
    if reference.answer == REFUTED and of_device["semantics"].answer == SHOWN:
        why = f"the original does not compute what the model defines: {reference.why}"
        of_device["semantics"] = Answer(UNDECIDED, why)
    crossed = _crossed(port, original, records)
    scored, timed = (
        [line[cell].get("from", []) for line in (port, original)] for cell in ("acc1", "fps")
    )
    mine, theirs = ([records[path] for path in paths] for paths in scored)
    accuracies = seeds.of_rows(mine, theirs, judging.margin)
    runs, others = (
        [speed.run_of(records[path], judging.logs(path)) for path in paths] for paths in timed
    )
    answers = {
        **of_device,
        "data": _data(port, original, records),
        "same weights": same_weights.across_seeds(crossed.values(), judging.margin),
        "seeds": worst_of({name: of.answer for name, of in accuracies.items()}),
        "speed": speed.of_rows(runs, others, judging.speed).answer,
    }
    origins = {
        **dict.fromkeys(of_device, port["parity"]["from"]),
        "data": [*port["pytorch"]["from"], *original["pytorch"]["from"]],
        "same weights": [*crossed],
        "seeds": [*scored[0], *scored[1]],
        "speed": [*timed[0], *timed[1]],
    }
    return {
        "port": port["name"],
        "original": original["name"],
        **judge(port["name"], original["name"], answers)._asdict(),
        "grounds": [
            {"ground": name, **of._asdict(), "from": origins[name]} for name, of in answers.items()
        ],
        "field": of_pair(port, original, records, judging.logs),
    }


def _crossed(port: Line, original: Line, records: Mapping[str, Record]) -> dict[str, Record]:
    """Records of the original's weights on the port's device, by path.

    The weights must be those whose scores the original's row shows, and the device the one that
    trained the port's, which another site's row of that name is not.
    """
    scores = {records[path]["digest"] for path in original["acc1"].get("from", ())}
    trained = port["pytorch"]["from"]
    devices = {kernels(records[path]) for path in trained}
    # of the row, with its site's results
    folders = {str(Path(path).parents[2]) for path in trained}
    return {
        path: record
        for path, record in of_kind("cross", records).items()
        if row_name(record["row"]) == port["name"]
        and record["weights_of"]["evaluate_record_digest"] in scores
        and kernels(record) in devices
        and path.rpartition("/cross/")[0] in folders
    }


def _data(port: Line, original: Line, records: Mapping[str, Record]) -> Answer:
    """Whether both rows saw the same images and labels, loaded alike.

    That the pair is compared says already that the digests of their files are equal.
    """
    kinds = []
    for key, name in (("pytorch", "training"), ("acc1", "validation")):
        of_both = [
            {records[path]["data_fingerprint"] for path in line[key].get("from", ())}
            for line in (port, original)
        ]
        if all(of_both):
            kinds.append(f"{name} images and labels have digest {min(of_both[0])[:12]}")
    files = f"in both rows {' and '.join(kinds)}"
    own = of_looks(port["parity"]["grounds"], "data")
    if own.answer == REFUTED:
        return own
    theirs = of_looks(original["parity"]["grounds"], "data")
    if theirs.answer == REFUTED:
        return Answer(UNDECIDED, f"the original's is refuted: {theirs.why}")
    looked = [[records[path] for path in line["parity"]["from"]] for line in (port, original)]
    # of a look that is set aside the batches are, too
    are_known = all(looked) and NOT_RUN not in (own.answer, theirs.answer)
    differing = differing_batches(looked[0][0], looked[1][0]) if are_known else None
    if differing is None:
        return Answer(UNDECIDED, f"{files}; whether both load them alike was not looked at")
    if differing:
        why = f"{differing} differ, though {files}: they are decoded or resized otherwise"
        return Answer(REFUTED, why)
    return Answer(SHOWN, f"{files}, and their first batches are equal to the byte")
