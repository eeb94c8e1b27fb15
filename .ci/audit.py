"""Ask the advisories of PyPI, or else of OSV, about every package of this environment.

    .ci/audit.py PIP_AUDIT [its options, such as --ignore-vuln ID]

Exits with 1 where a package has a known vulnerability, is not known to the service, or pip-audit
fails. Only where neither service can be reached it exits with 0 all the same, and says so.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OWN = "semask-bench"
SERVICES = {"pypi": "pypi.org", "osv": "api.osv.dev"}
UNREACHABLE = re.compile(
    "Could not connect|NameResolutionError|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError"
    r"|ConnectionError\(|requests\.exceptions\.ConnectionError"
)
# an answer from somebody else is no reason to let it pass
DISTRUSTED = re.compile("SSLError|CERTIFICATE_VERIFY_FAILED")


class UnreachableError(Exception):
    """The service gives no answer, or its advisories are not there."""


def installed() -> list[str]:
    """Every package as `name==version`, without the local part that torch's builds have."""
    found = {
        (distribution.metadata["Name"], distribution.version.partition("+")[0])
        for distribution in importlib.metadata.distributions()
    }
    return [f"{name}=={version}" for name, version in sorted(found) if name != OWN]


def ask(service: str, command: list[str], packages: list[str]) -> list[str]:
    """What is wrong with the packages, a line each.

    Raises:
        UnreachableError: see there.
        RuntimeError: pip-audit failed in another way.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "requirements.txt")
        listed.write_text("\n".join(packages) + "\n", encoding="utf-8")
        options = ["--requirement", str(listed), "--no-deps", "--disable-pip", "--format", "json"]
        done = subprocess.run(
            [*command, "--vulnerability-service", service, "--progress-spinner", "off", *options],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if UNREACHABLE.search(done.stderr) and not DISTRUSTED.search(done.stderr):
            raise UnreachableError from None
        raise RuntimeError(done.stderr or f"pip-audit ended with {done.returncode}") from None
    skipped = [found for found in dependencies if "skip_reason" in found]
    # a mirror of PyPI that has the packages and not what is known of them
    if len(skipped) == len(dependencies):
        raise UnreachableError
    lines = [f"{found['name']}: {found['skip_reason']}" for found in skipped]
    for found in dependencies:
        for fault in found.get("vulns", ()):
            fixed = ", ".join(fault["fix_versions"]) or "no version yet"
            lines.append(f"{found['name']} {found['version']}: {fault['id']}, mended in {fixed}")
    if done.returncode and not lines:
        raise RuntimeError(done.stderr or f"pip-audit ended with {done.returncode}")
    return lines


def main() -> None:
    command, packages = sys.argv[1:], installed()
    for service, host in SERVICES.items():
        try:
            faults = ask(service, command, packages)
        except UnreachableError:
            print(f"{host}: no advisories from here")
            continue
        except (RuntimeError, OSError) as fault:
            sys.exit(f"audit failed: {fault}")
        if faults:
            sys.exit("\n".join(faults))
        print(f"audited: {len(packages)} packages, no known vulnerability ({host})")
        return
    print(f"not audited: {' and '.join(SERVICES.values())} cannot be reached")


if __name__ == "__main__":
    main()
