"""The audit of CI, with a program in pip-audit's place that answers as pip-audit 2.10 does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
FINE = {"name": "numpy", "version": "1", "vulns": []}
BAD = {"name": "requests", "version": "2.19.0",
       "vulns": [{"id": "PYSEC-2018-28", "fix_versions": ["2.20.0"], "aliases": []}]}  # fmt: skip
SKIPPED = {"name": "own", "skip_reason": "Dependency not found on PyPI"}
NO_NETWORK = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x'): NameResolution"
FALSE_NAME = "requests.exceptions.SSLError: Max retries (NewConnectionError, SSLError(...))"


def audit(folder: Path, **services: tuple[int, Any, str]) -> tuple[int, str]:
    """Exit code and output, where a service makes pip-audit end and print as given."""
    stub = folder / "stub.py"
    stub.write_text(
        f"import json, sys\nservices = {services!r}\n"
        "service = sys.argv[sys.argv.index('--vulnerability-service') + 1]\n"
        "packages = open(sys.argv[sys.argv.index('--requirement') + 1]).read()\n"
        "assert 'pytest==' in packages and 'semask' not in packages and '+' not in packages\n"
        "code, found, message = services[service]\n"
        "print(json.dumps({'dependencies': found}) if found else '')\n"
        "print(message, file=sys.stderr)\nsys.exit(code)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, SCRIPT, sys.executable, stub], capture_output=True, encoding="utf-8"
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("pypi", "osv", "code", "says"),
    [
        ((0, [FINE], ""), None, 0, "no known vulnerability (pypi.org)"),
        ((1, [FINE, BAD], ""), None, 1, "requests 2.19.0: PYSEC-2018-28, mended in 2.20.0"),
        ((0, [FINE, SKIPPED], ""), None, 1, "own: Dependency not found on PyPI"),
        ((1, None, NO_NETWORK), (0, [FINE], ""), 0, "no known vulnerability (api.osv.dev)"),
        ((0, [SKIPPED], ""), (1, [BAD], ""), 1, "PYSEC-2018-28"),
        ((0, [SKIPPED], ""), (1, None, NO_NETWORK), 0,
         "not audited: pypi.org and api.osv.dev cannot be reached"),
        ((1, None, FALSE_NAME), None, 1, "audit failed: requests.exceptions.SSLError"),
        ((2, None, "usage: pip-audit"), None, 1, "audit failed: usage: pip-audit"),
        ((1, [FINE], "broken"), None, 1, "audit failed: broken"),
    ],
)  # fmt: skip
def test_outcomes(tmp_path: Path, pypi: Any, osv: Any, code: int, says: str) -> None:
    ended, printed = audit(tmp_path, pypi=pypi, osv=osv)
    assert ended == code
    assert says in printed
