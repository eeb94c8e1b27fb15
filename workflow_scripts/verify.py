"""Check that the splits share no file and, if asked to, that they are the published ones."""

import json

from semask.base.files import write_atomically
from semask.data.manifest import check_splits, read_manifest
from semask.workflow import guard
from semask.workflow.json_options import PUBLISHED, add_json
from semask.workflow.options import new_file


def main() -> None:
    parser = guard.parser(__doc__, "--train-manifest", "--val-manifest")
    add_json(
        parser, "--published", PUBLISHED, required=False,
        help='what they must be, as JSON: {"images": {split: number}, "size": [w, h] or null}',
    )  # fmt: skip
    parser.add_argument("--output", type=new_file, required=True, help="the fingerprints, JSON")
    arguments = parser.parse_args()
    paths = {"train": arguments.train_manifest, "val": arguments.val_manifest}
    manifests = {split: read_manifest(path) for split, path in paths.items()}
    published = arguments.published
    check_splits(manifests, paths, published)
    found = {split: manifest["fingerprint"] for split, manifest in manifests.items()}
    write_atomically(
        arguments.output, json.dumps({"complete": published is not None, **found}) + "\n"
    )


if __name__ == "__main__":
    guard.run(main)
