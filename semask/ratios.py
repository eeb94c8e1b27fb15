"""NPU rows against GPU rows, and what keeps records from being compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from semask.comparison import Record, points
from semask.recipe import differing_keys


def npu_over_gpu(
    lines: Sequence[Mapping[str, Any]], trained: Mapping[str, Record]
) -> list[dict[str, Any]]:
    """NPU rows against the GPU rows with as many processes.

    Measured rows are compared with measured ones, published rows with rows of the same source and
    experiment. Records whose recipes or data differ are not compared: `differing` names the keys.

    Returns:
        npu, gpu (names), kind, fps_ratio, acc1_difference (points), differing, executed_differently
        (settings of `execution`).
    """
    found = []
    for npu in lines:
        for gpu in lines:
            same_kind = npu["kind"] == gpu["kind"] and npu["name"].startswith("NPU")
            if not same_kind or gpu["name"] != npu["name"].replace("NPU", "GPU"):
                continue
            if npu["kind"] == "measured":
                differing = _differing(npu, gpu, trained)
            else:
                differing = differing_keys(npu["experiment"], gpu["experiment"])
            found.append(
                {
                    "npu": npu["name"],
                    "gpu": gpu["name"],
                    "kind": npu["kind"],
                    "fps_ratio": None if differing else _ratio(npu["fps"], gpu["fps"]),
                    "acc1_difference": None
                    if differing
                    else points(npu["acc1"]["value"], gpu["acc1"]["value"]),
                    "differing": differing,
                    "executed_differently": []
                    if npu["kind"] == "published"
                    else _executed_differently(npu, gpu, trained),
                }
            )
    return found


def _ratio(a: Mapping[str, Any], b: Mapping[str, Any]) -> float | None:
    return None if None in (a["value"], b["value"]) else a["value"] / b["value"]


_Line = Mapping[str, Any]


def _pairs(
    npu: _Line, gpu: _Line, trained: Mapping[str, Record]
) -> Iterator[tuple[Record, Record]]:
    """Training records of two rows, of the same mode."""
    for a in npu["pytorch"]["from"]:
        for b in gpu["pytorch"]["from"]:
            if trained[a]["mode"] == trained[b]["mode"]:
                yield trained[a], trained[b]


def _differing(npu: _Line, gpu: _Line, trained: Mapping[str, Record]) -> list[str]:
    keys = {key for a, b in _pairs(npu, gpu, trained) for key in differing_records(a, b)}
    if npu["source"] != gpu["source"]:
        # on one machine Snakemake sees to it that the code is the same
        keys |= {key for a, b in _pairs(npu, gpu, trained) for key in code_differences(a, b)}
    return sorted(keys)


def _executed_differently(npu: _Line, gpu: _Line, trained: Mapping[str, Record]) -> list[str]:
    """Settings of `execution` that two rows do not share: no other recipe, yet worth a word."""
    return sorted(
        {
            key
            for a, b in _pairs(npu, gpu, trained)
            for key in differing_keys(a["execution"], b["execution"])
        }
    )


def differing_records(a: Record, b: Record) -> list[str]:
    """What keeps two records from being compared: recipe keys, data, torch's minor version."""
    keys = differing_keys(a["recipe"], b["recipe"])
    if a["data_fingerprint"] != b["data_fingerprint"]:
        keys.append("data_fingerprint")
    versions = [_minor(record["device"]["torch"]) for record in (a, b)]
    if versions[0] != versions[1]:
        keys.append(f"torch ({versions[0]} and {versions[1]})")
    return keys


def code_differences(a: Record, b: Record) -> list[str]:
    """The versions of the code, if two records were made by different code."""
    versions = [record["run"]["code_version"] for record in (a, b)]
    # the source itself, where the version says nothing of changes or of other files
    digests = [
        record["run"].get("code_digest", version)
        for record, version in zip((a, b), versions, strict=True)
    ]
    return [] if digests[0] == digests[1] else [f"code ({versions[0]} and {versions[1]})"]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
