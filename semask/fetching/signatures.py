"""Who made a file: signatures with the SSH keys that people have, by OpenSSH's ssh-keygen.

The signature of FILE is FILE.sig beside it. Nobody is asked for a passphrase: a key that has one is
used by way of ssh-agent.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from semask.base.errors import InputError

NAMESPACE = "semask-bench-bundle"
"""What signatures are for: one that was made for anything else, such as a commit, is none here."""


class Signer(NamedTuple):
    """Who signed a file: the name in the list of signers, and the key's fingerprint."""

    name: str
    key: str


def signature_of(file: Path) -> Path:
    """Where a file's signature is, if it has one."""
    return file.with_name(f"{file.name}.sig")


def check_key(key: Path) -> None:
    """Look whether there is anything to sign with.

    Raises:
        InputError: no ssh-keygen, or the key is no file that can be read.
    """
    _command()
    _check_file(key, "give the path of a private SSH key, or of a public one that ssh-agent holds")


def sign(file: Path, key: Path) -> bytes:
    """The signature of a file, which is to be written to `signature_of(file)`.

    `key` is a private SSH key, or the public half of one that ssh-agent holds.

    Raises:
        InputError: as `check_key`, or ssh-keygen cannot sign with the key.
    """
    check_key(key)
    made = _run(file, "sign", "-f", str(key))
    if made.returncode != 0:
        said = _said(made)
        if "passphrase" in said:
            raise InputError(
                f"{key}: has a passphrase, and no ssh-agent that holds the key was found; run "
                f"ssh-add {key} first, or sign with another key"
            )
        raise InputError(f"{key}: cannot be signed with ({said}); give another key")
    return made.stdout


def check_signed(file: Path, signers: Path) -> None:
    """Look whether what `verify` needs is there.

    `signers` is a list of those who may sign, as ssh-keygen(1) has it under ALLOWED SIGNERS.

    Raises:
        InputError: no ssh-keygen, no such list, or no signature.
    """
    _command()
    _check_file(signers, "give the path of a list of allowed signers")
    if not signature_of(file).is_file():
        raise InputError(
            f"{file}: is not signed, and allowed_signers is set: there is no {signature_of(file)}; "
            "ask for that file where the bundle was made, or set allowed_signers to null"
        )


def verify(file: Path, signers: Path) -> Signer:
    """Find out who signed a file; `signers` is as in `check_signed`.

    Raises:
        InputError: as `check_signed`; the file or its signature was changed; or the key is not of
            a signer who is allowed.
    """
    check_signed(file, signers)
    signature = str(signature_of(file))
    whole = _run(file, "check-novalidate", "-s", signature)
    if whole.returncode != 0:
        raise InputError(
            f"{file}: was changed after it was signed, or {signature} is not its signature "
            f"({_said(whole)}); ask for both again where they were made"
        )
    key = whole.stdout.decode(errors="replace").split()[-1]
    found = _run(file, "find-principals", "-s", signature, "-f", str(signers))
    names = found.stdout.decode(errors="replace").replace(",", "\n").splitlines()
    for name in names if found.returncode == 0 else ():
        if _run(file, "verify", "-s", signature, "-f", str(signers), "-I", name).returncode == 0:
            return Signer(name, key)
    raise InputError(
        f"{file}: was signed with key {key}, which {signers} does not allow; ask who signed it, "
        "and add a line for that key if you trust them"
    )


def _command() -> str:
    found = shutil.which("ssh-keygen")
    if found is None:
        raise InputError(
            "ssh-keygen: not found, and nothing can be signed or verified without it; install "
            "OpenSSH's client (Debian: openssh-client), or sign and verify nothing"
        )
    return found


def _check_file(path: Path, advice: str) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {advice}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; {advice}")


def _run(file: Path, what: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen -Y over a file, where it can ask nobody anything."""
    for_all = () if what == "find-principals" else ("-n", NAMESPACE)
    with open(file, "rb") as content:
        ended = subprocess.run(
            [_command(), "-Y", what, *for_all, *options],
            stdin=content,
            capture_output=True,
            check=False,
            # without a terminal
            start_new_session=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
        )
    if b"No user exists" in ended.stderr:
        raise InputError(
            "ssh-keygen: works only for users that are in /etc/passwd, which number "
            f"{os.getuid()} is not; sign and verify as another one"
        )
    return ended


def _said(ended: subprocess.CompletedProcess[bytes]) -> str:
    """What ssh-keygen said in one line, less the frames around it."""
    lines = ended.stderr.decode(errors="replace").replace(";", ",").splitlines()
    return " ".join(line.strip() for line in lines if line.strip("@\n ") and line[0] != "@")[:300]
