"""Signatures by real SSH keys. These tests need OpenSSH's client, and fail where there is none."""

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from semask.base.errors import InputError
from semask.fetching import signatures
from semask.fetching.signatures import NAMESPACE, sign, signature_of, verify

from ..ssh import new_key


class Folder:
    """A file, keys, and a list of signers."""

    def __init__(self, path: Path):
        self.path = path
        self.file, self.signers = path / "a bundle.zip", path / "signers"
        self.file.write_bytes(b"of one machine's rows")
        self.allow(alice=self.key("alice"))

    def key(self, name: str, passphrase: str = "") -> Path:
        made = self.path / name
        new_key(made, passphrase=passphrase, comment=name)
        return made

    def allow(self, options: str = "", **keys: Path) -> None:
        lines = [f"{of}@site {options} {_public(key)}" for of, key in keys.items()]
        self.signers.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def sign(self, key: str = "alice") -> None:
        signature_of(self.file).write_bytes(sign(self.file, self.path / key))


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text(encoding="utf-8").strip()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    said = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    for word in shlex.split(said.replace(";", " ")):
        name, _, value = word.partition("=")
        if value:
            monkeypatch.setenv(name, value)
    yield
    subprocess.run(["ssh-agent", "-k"], check=True, capture_output=True)


def test_a_signer_is_named(folder: Folder) -> None:
    folder.sign()
    signer = verify(folder.file, folder.signers)
    assert signer.name == "alice@site"
    listed = ["ssh-keygen", "-l", "-f", folder.path / "alice"]
    assert signer.key in subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    # several names of one key, and patterns, are as OpenSSH has them
    folder.signers.write_text(f"*@site,bob@b.example {_public(folder.path / 'alice')}\n")
    assert verify(folder.file, folder.signers).name == "*@site"
    # the command that people know finds the same
    command = ["ssh-keygen", "-Y", "verify", "-f", folder.signers, "-I", "bob@b.example"]
    command += ["-n", NAMESPACE, "-s", signature_of(folder.file)]
    with open(folder.file, "rb") as content:
        subprocess.run(command, stdin=content, check=True, capture_output=True)


def test_a_key_with_a_passphrase_is_used_by_way_of_the_agent(folder: Folder, agent: None) -> None:
    key = folder.key("bob", "secret")
    with pytest.raises(InputError, match=f"bob: has a passphrase.*run ssh-add {key} first"):
        folder.sign("bob")
    asked = folder.path / "asked"
    asked.write_text("#!/bin/sh\necho secret\n", encoding="utf-8")
    asked.chmod(0o700)
    asking = {**os.environ, "SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", key], env=asking, check=True)
    folder.allow(bob=key)
    for half in ("bob", "bob.pub"):
        folder.sign(half)
        assert verify(folder.file, folder.signers).name == "bob@site"


def _change_file(folder: Folder) -> None:
    folder.file.write_bytes(folder.file.read_bytes() + b" ")


def _garble_signature(folder: Folder) -> None:
    signature_of(folder.file).write_bytes(b"signed, alice\n")


def _sign_for_something_else(folder: Folder) -> None:
    signature_of(folder.file).unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", folder.path / "alice"]
    subprocess.run([*command, folder.file], check=True)


def _sign_with_another_key(folder: Folder) -> None:
    folder.key("mallory")
    folder.sign("mallory")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_change_file, "bundle.zip: was changed after it was signed, or .*bundle.zip.sig is not"),
        (_garble_signature, r"was changed after it was signed, or .*bundle.zip.sig is not its"),
        (_sign_for_something_else, "namespace does not match"),
        (_sign_with_another_key, "signed with key SHA256:.{43}, which .*signers does not allow"),
        (lambda folder: signature_of(folder.file).unlink(), "is not signed, and allowed_signers"),
        (lambda folder: folder.signers.unlink(), "signers: no such file; give the path of a list"),
        (lambda folder: folder.signers.write_text("\x00 junk"), "signers does not allow"),
        (lambda folder: folder.allow('valid-before="20200101"', alice=folder.path / "alice"),
         "which .*signers does not allow"),
        (lambda folder: folder.allow('namespaces="git"', alice=folder.path / "alice"),
         "which .*signers does not allow"),
    ],
)  # fmt: skip
def test_what_nobody_signed_is_refused(
    change: Callable[[Folder], object], said: str, folder: Folder
) -> None:
    folder.sign()
    change(folder)
    with pytest.raises(InputError, match=said) as raised:
        verify(folder.file, folder.signers)
    assert "\n" not in str(raised.value)


def test_what_cannot_sign_is_said(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.path / "no key").write_text("nothing\n", encoding="utf-8")
    (folder.path / "alice").chmod(0o644)
    for key, said in (
        ("absent", "absent: no such file; give the path of a private SSH key"),
        ("no key", "no key: cannot be signed with (Couldn't load public key"),
        ("alice", "alice: cannot be signed with (Permissions 0644"),
    ):
        with pytest.raises(InputError) as raised:
            folder.sign(key)
        assert str(raised.value).startswith(f"{folder.path}/{said}")
        assert "\n" not in str(raised.value)
    monkeypatch.setenv("PATH", str(folder.path))
    for attempt in (folder.sign, lambda: verify(folder.file, folder.signers)):
        with pytest.raises(InputError, match=r"ssh-keygen: not found.*Debian: openssh-client"):
            attempt()
    # a container's user
    fake = folder.path / "ssh-keygen"
    fake.write_text("#!/bin/sh\necho 'No user exists for uid 77' >&2\nexit 255\n", encoding="utf-8")
    fake.chmod(0o700)
    with pytest.raises(InputError, match="works only for users that are in /etc/passwd"):
        signatures.sign(folder.file, folder.path / "alice")
