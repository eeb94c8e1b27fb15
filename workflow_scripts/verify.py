"""Check that the splits share no file and, if asked to, that they are the published ones."""

import json
from functools import partial
from pathlib import Path

from semask.base.errors import InputError
from semask.base.files import write_atomically
from semask.data.manifest import check_complete, check_disjoint, read_manifest
from semask.workflow import guard
from semask.workflow.json_options import json_value
from semask.workflow.options import new_file

_SIDE = {"type": "integer", "minimum": 1}
_PUBLISHED = {
    "type": ["object", "null"],
    "required": ["images", "size"],
    "additionalProperties": False,
    "properties": {
        "images": {
            "type": "object",
            "required": ["train", "val"],
            "additionalProperties": {"type": "integer", "minimum": 1},
        },
        "size": {"type": ["array", "null"], "items": _SIDE, "minItems": 2, "maxItems": 2},
    },
}


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--train-manifest", type=Path, required=True)
    parser.add_argument("--val-manifest", type=Path, required=True)
    parser.add_argument(
        "--published",
        type=json_value("--published", _PUBLISHED),
        help='what they must be, as JSON: {"images": {split: number}, "size": [w, h] or null}',
    )
    parser.add_argument("--output", type=new_file, required=True, help="the fingerprints, JSON")
    arguments = parser.parse_args()
    paths = {"train": arguments.train_manifest, "val": arguments.val_manifest}
    manifests = {split: read_manifest(path) for split, path in paths.items()}
    published = arguments.published
    checks = [partial(check_disjoint, manifests["train"], manifests["val"])]
    if published is not None:
        size = None if published["size"] is None else tuple(published["size"])
        checks += [
            partial(check_complete, manifest, published["images"][split], size, paths[split])
            for split, manifest in manifests.items()
        ]
    problems = []
    for check in checks:
        try:
            check()
        except InputError as fault:
            problems.append(str(fault))
    if problems:
        raise InputError("\n".join(problems))
    found = {split: manifest["fingerprint"] for split, manifest in manifests.items()}
    write_atomically(
        arguments.output, json.dumps({"complete": published is not None, **found}) + "\n"
    )


if __name__ == "__main__":
    guard.run(main)
