"""Fetch the archives of a data set and unpack them into its folder."""

import json

from semask.base.files import write_atomically
from semask.fetching.download import download
from semask.fetching.fetch import Source
from semask.workflow import guard
from semask.workflow.json_options import SOURCE, add_download_options, add_json
from semask.workflow.options import new_file, new_folder


def main() -> None:
    parser = guard.parser(__doc__)
    add_json(parser, "--archives", {"type": "array", "items": SOURCE}, help="sources, JSON")
    parser.add_argument("--root", type=new_folder, required=True, help="folder of the data set")
    add_download_options(parser)
    parser.add_argument("--output", type=new_file, required=True, help="what was unpacked, JSON")
    arguments = parser.parse_args()
    archives = download(
        [Source(**archive) for archive in arguments.archives],
        arguments.root,
        lock=arguments.lock,
        mirrors=arguments.mirrors,
    )
    write_atomically(arguments.output, json.dumps({"archives": archives}, indent=2) + "\n")


if __name__ == "__main__":
    guard.run(main)
