"""Say which devices of each kind this machine has, or why it has none."""

from workflow_scripts import _guard


def main() -> None:
    _guard.parser(__doc__).parse_args()
    from semask.device import found_here

    for device, found in found_here().items():
        print(f"{device}: {found}")


if __name__ == "__main__":
    _guard.run(main)
