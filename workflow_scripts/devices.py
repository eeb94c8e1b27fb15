"""Say which devices of each kind this machine has, or why it has none."""

from semask.workflow import guard


def main() -> None:
    guard.parser(__doc__).parse_args()
    from semask.devices.description import found_here

    for device, found in found_here().items():
        print(f"{device}: {found}")


if __name__ == "__main__":
    guard.run(main)
