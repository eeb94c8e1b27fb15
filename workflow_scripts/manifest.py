"""Join the manifests of a split's parts into one, with the fingerprint of the split."""

from pathlib import Path

from semask.data.manifest import converted_images, merge, read_part, write_manifest
from semask.workflow import guard
from semask.workflow.options import new_file


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--parts", type=Path, nargs="+", required=True, help="their manifests")
    parser.add_argument("--output", type=new_file, required=True, help="the split's manifest, JSON")
    arguments = parser.parse_args()
    manifest = merge([read_part(path) for path in arguments.parts])
    write_manifest(arguments.output, manifest)
    if (said := converted_images(manifest)) is not None:
        print(said, flush=True)


if __name__ == "__main__":
    guard.run(main)
