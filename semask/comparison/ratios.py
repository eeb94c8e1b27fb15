"""Ports' rows against their originals', and what keeps records from being compared."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from semask.base.row_names import PLANTED_SIGN
from semask.comparison.beside_published import points, ratio
from semask.comparison.parities import across
from semask.comparison.rows import Record, paths_of
from semask.comparison.what_ran import differing_surroundings
from semask.config.recipe import differing_keys

_Line = Mapping[str, Any]
_NO_LOOK: _Line = {"from": ()}


def is_npu_beside_gpu(npu: _Line, gpu: _Line) -> bool:
    """Whether rows are an NPU's and the GPU's with as many processes."""
    name = str(npu["name"])
    return name.startswith("NPU") and gpu["name"] == name.replace("NPU", "GPU")


def is_planted_beside_plain(port: _Line, original: _Line) -> bool:
    """Whether a row has a planted fault, and stands for a port, and the other is that without."""
    plain, planted, _ = str(port["name"]).partition(PLANTED_SIGN)
    return bool(planted) and original["name"] == plain and port["bundle"] == original["bundle"]


def port_over_original(
    lines: Sequence[_Line], records: Mapping[str, Record], is_pair: Callable[[_Line, _Line], bool]
) -> list[dict[str, Any]]:
    """Rows against each other, where `is_pair` says of two that they are a port and its original.

    Measured rows are compared with measured ones, published rows with rows of the same source and
    experiment. Records whose recipes or data differ are not compared: `differing` names the keys.
    Two rows that are both kept apart from this machine's are compared if they agree.

    Returns:
        npu, gpu (names of port and original), rows (their places in `lines`), kind, sources (of
        both), fps_ratio, acc1_difference (points), differing, executed_differently (settings of
        `execution`, variables of the environment and what was observed, which make no other recipe
        and are yet worth a word), parity (see `semask.comparison.parities.across`; empty where not
        both were looked at).
    """
    found = []
    for (place, npu), (other, gpu) in product(enumerate(lines), repeat=2):
        if npu["kind"] != gpu["kind"] or not is_pair(npu, gpu):
            continue
        if npu["kind"] == "measured":
            pairs = _pairs(npu, gpu, records)
            keys = {key for pair in pairs for key in differing_records(*pair)}
            if npu["bundle"] != gpu["bundle"]:
                # in one folder of results Snakemake sees to it that the code is the same
                keys |= {key for pair in pairs for key in code_differences(*pair)}
            differing = sorted(keys)
        else:
            pairs, differing = [], differing_keys(npu["experiment"], gpu["experiment"])
        speeds, accuracies = ([row[key]["value"] for row in (npu, gpu)] for key in ("fps", "acc1"))
        executed = {
            key
            for a, b in pairs
            for key in differing_keys(a["execution"], b["execution"]) + differing_surroundings(a, b)
        }
        # a row's one look at its device; published rows have none
        looks = [[*row.get("parity", _NO_LOOK)["from"]] for row in (npu, gpu)]
        both = [records[path] for (path,) in looks] if all(looks) else []
        found.append(
            {
                "npu": npu["name"],
                "gpu": gpu["name"],
                "rows": [place, other],
                "kind": npu["kind"],
                "sources": [npu["source"], gpu["source"]],
                "fps_ratio": None if differing else ratio(*speeds),
                "acc1_difference": None if differing else points(*accuracies),
                "differing": differing,
                "parity": across(*both) if both else {},
                "executed_differently": sorted(executed),
            }
        )
    return found


def _pairs(npu: _Line, gpu: _Line, records: Mapping[str, Record]) -> list[tuple[Record, Record]]:
    """Records of two rows, each two of the same kind and mode."""
    of_both = ([records[path] for path in paths_of(line)] for line in (npu, gpu))
    return [
        (a, b) for a, b in product(*of_both) if (a["kind"], a["mode"]) == (b["kind"], b["mode"])
    ]


def differing_records(a: Record, b: Record) -> list[str]:
    """What keeps two records of a kind from being compared.

    That is: keys of the recipe, how it was measured or scored, data (training or validation
    images), torch's minor version.
    """
    keys = differing_keys(a["recipe"], b["recipe"])
    views = [record.get("evaluation", {}).get("multi_scale") for record in (a, b)]
    if None not in views and views[0] != views[1]:
        keys.append("evaluation.multi_scale")
    if a["kind"] == "train" and a["mode"] == b["mode"] == "performance":
        windows = [record["figures"]["speed"]["warmup_iterations"] for record in (a, b)]
        if windows[0] != windows[1]:
            keys.append("performance.warmup_iterations")
    if a["data_fingerprint"] != b["data_fingerprint"]:
        keys.append("data_fingerprint")
    versions = [".".join(record["device"]["torch"].split(".")[:2]) for record in (a, b)]
    if versions[0] != versions[1]:
        keys.append(f"torch ({versions[0]} and {versions[1]})")
    return keys


def unexplained(a: Record, b: Record) -> list[str]:
    """What `differing_records` finds, less what follows from two runs' modes and processes."""
    explained: set[str] = set()
    if a["mode"] != b["mode"]:
        explained |= {"training.iterations", "training.evaluate_every"}
    if a["row"]["processes"] != b["row"]["processes"]:
        explained |= {"training.global_batch", "training.accumulation"}
        if _same_images(a["recipe"]["training"], b["recipe"]["training"]):
            explained.add("training.iterations")
    return [key for key in differing_records(a, b) if key not in explained]


def _same_images(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two trainings see as many images, but for the last batch of their epochs."""
    batches = a["global_batch"], b["global_batch"]
    images = a["iterations"] * batches[0] - b["iterations"] * batches[1]
    return batches[0] != batches[1] and abs(images) < max(batches)


def code_differences(a: Record, b: Record) -> list[str]:
    """The versions of the code, if two records were made by different code."""
    runs = a["run"], b["run"]
    versions = [run["code_version"] for run in runs]
    # the source itself, where the version says nothing of changes or of other files
    digests = [run.get("code_digest", run["code_version"]) for run in runs]
    if digests[0] == digests[1]:
        return []
    if versions[0] == versions[1]:
        return [f"code ({versions[0]}, of other sources: {digests[0][:12]} and {digests[1][:12]})"]
    return [f"code ({versions[0]} and {versions[1]})"]
