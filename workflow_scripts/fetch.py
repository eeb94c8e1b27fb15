"""Fetch one file, unless it is there, and check its digest."""

import os
import shutil
from pathlib import Path

from semask.base.files import atomically
from semask.fetching.fetch import Source, fetch
from semask.workflow import guard
from semask.workflow.json_options import SOURCE, add_download_options, add_json
from semask.workflow.options import new_file
from semask.workflow.usable import check_weights

_WEIGHTS = (".pth", ".pt", ".safetensors")


def main() -> None:
    parser = guard.parser(__doc__)
    add_json(parser, "--source", SOURCE, help="the source, JSON")
    parser.add_argument("--fetched", type=new_file, required=True, help="where to keep the file")
    add_download_options(parser)
    parser.add_argument("--output", type=new_file, required=True, help="the same file, linked")
    arguments = parser.parse_args()
    source = Source(**arguments.source)
    digest = fetch(
        source,
        arguments.fetched,
        lock=arguments.lock,
        mirrors=arguments.mirrors,
        check=check_weights if Path(source.name).suffix in _WEIGHTS else None,
    )
    with atomically(arguments.output) as temporary:
        try:
            os.link(arguments.fetched, temporary)
        except OSError:
            # a file system without links
            shutil.copy2(arguments.fetched, temporary)
    print(f"{arguments.output}: {digest}")


if __name__ == "__main__":
    guard.run(main)
