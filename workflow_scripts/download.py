"""Fetch the archives of a data set and unpack them into its folder."""

import json

from semask.download import download
from semask.fetch import Source
from semask.files import write_atomically
from workflow_scripts import _guard
from workflow_scripts._json_options import SOURCE, add_download_options, json_value
from workflow_scripts._options import new_file, new_folder


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument(
        "--archives",
        type=json_value("--archives", {"type": "array", "items": SOURCE}),
        required=True,
        help="sources, JSON",
    )
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
    _guard.run(main)
