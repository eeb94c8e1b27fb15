"""Keys that bundles are signed with."""

import subprocess
from pathlib import Path

import pytest


def new_key(path: Path, *, passphrase: str = "", comment: str = "") -> None:
    """Make an Ed25519 key, and skip the test where ssh-keygen does nothing for its user."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", comment, "-f", path]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if "No user exists" in done.stdout + done.stderr:
        pytest.skip("ssh-keygen does nothing for a user without a name")
    assert done.returncode == 0, done.stderr
