"""Unpack a bundle that came from another machine, after a look at all that is in it."""

from pathlib import Path

from semask.comparison.bundle import MANIFEST, unpack
from semask.workflow import guard


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="file that was packed elsewhere")
    parser.add_argument("--digest", help="the bundle's digest, as the other machine printed it")
    parser.add_argument(
        "--allowed-signers",
        type=Path,
        metavar="FILE",
        help="those who may have signed it, as ssh-keygen has them; BUNDLE.sig must be there",
    )
    parser.add_argument("--manifest", type=Path, required=True, help=f"FOLDER/{MANIFEST} to make")
    arguments = parser.parse_args()
    unpack(arguments.bundle, arguments.manifest.parent, arguments.digest, arguments.allowed_signers)


if __name__ == "__main__":
    guard.run(main)
