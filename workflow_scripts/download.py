"""Fetch the archives of a data set and unpack them into its folder."""

import json
from pathlib import Path

from semask.download import download
from semask.fetch import Source
from semask.files import write_atomically
from workflow_scripts import _guard


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--archives", type=json.loads, required=True, help="sources, JSON")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--lock", type=Path, required=True, help="pinned digests, JSON")
    parser.add_argument("--mirrors", type=json.loads, default={}, help="start of URL: other, JSON")
    parser.add_argument("--output", type=Path, required=True, help="what was unpacked, JSON")
    arguments = parser.parse_args()
    archives = download(
        [Source(**archive) for archive in arguments.archives],
        arguments.root,
        lock=arguments.lock,
        mirrors=arguments.mirrors,
    )
    write_atomically(arguments.output, json.dumps({"archives": archives}, indent=2) + "\n")


if __name__ == "__main__":
    _guard.run(main)
