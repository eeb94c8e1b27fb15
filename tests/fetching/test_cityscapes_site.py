"""Packages of the Cityscapes site: logins that leak nowhere, cuts, csDownload's oversights."""

import builtins
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from semask.base.errors import InputError
from semask.fetching import cityscapes_site
from semask.fetching.fetch import Source, fetch

from ..server import Server

NAME = "gtFine_trainvaltest.zip"
MIB = 2**20
DATA = random.Random(0).randbytes(4 * MIB)
USER, SECRET = "someone", "tops3cret&pass"
FILE = "/file-handling/?packageID=1"


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@pytest.fixture
def site(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Server:
    """The site with one package, and a login in the environment."""
    server.packages = {NAME: DATA}
    monkeypatch.setenv("CITYSCAPES_USERNAME", USER)
    monkeypatch.setenv("CITYSCAPES_PASSWORD", SECRET)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cityscapes_site.time, "sleep", lambda _: None)
    return server


def get(site: Server, folder: Path, known: str | None = None, name: str = NAME) -> str:
    source = Source(name, f"cityscapes:{name}", None, known, "a script of others")
    return fetch(source, folder / "root" / name, lock=folder / "lock.json", mirrors=site.mirrors)


def fails(site: Server, folder: Path, known: str | None = None, name: str = NAME) -> str:
    with pytest.raises(InputError) as caught:
        get(site, folder, known, name)
    assert not (folder / "root" / name).exists()
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET not in line
    return line


@pytest.fixture
def stored(site: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """csDownload's file of credentials, in place of the environment."""
    monkeypatch.delenv("CITYSCAPES_USERNAME")
    monkeypatch.delenv("CITYSCAPES_PASSWORD")
    path = tmp_path / "home/cityscapesscripts/credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"username": USER, "password": SECRET}), encoding="utf-8")
    return path


def test_fetched_and_checked_by_both_digests(site: Server, tmp_path: Path) -> None:
    assert get(site, tmp_path, digest(DATA, "sha1")) == digest(DATA)
    assert (tmp_path / "root" / NAME).read_bytes() == DATA
    assert os.listdir(tmp_path / "root") == [NAME]


def test_csdownloads_own_credentials(site: Server, stored: Path, tmp_path: Path) -> None:
    before = stored.read_bytes()
    assert get(site, tmp_path) == digest(DATA)
    assert stored.read_bytes() == before


def test_refused_credentials_are_not_deleted(site: Server, stored: Path, tmp_path: Path) -> None:
    site.logins = {USER: "changed"}
    assert f"refuses the login; check {stored}" in fails(site, tmp_path)
    assert stored.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"username": "a"}', '{"username": 1}'])
def test_damaged_credentials(site: Server, stored: Path, tmp_path: Path, content: str) -> None:
    stored.write_text(content, encoding="utf-8")
    assert str(stored) in fails(site, tmp_path)
    assert stored.exists()


def test_no_credentials(
    site: Server, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.unlink()
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("asks at the terminal"))
    line = fails(site, tmp_path)
    for part in ("CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD", "csDownload", str(stored)):
        assert part in line
    monkeypatch.setenv("CITYSCAPES_USERNAME", USER)
    assert "CITYSCAPES_PASSWORD is not set" in fails(site, tmp_path)
    assert not site.asked


def test_wrong_environment(site: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYSCAPES_PASSWORD", "wrong")
    assert "check CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD" in fails(site, tmp_path)


def test_a_password_is_not_sent_in_the_clear(site: Server, tmp_path: Path) -> None:
    source = Source(NAME, f"cityscapes:{NAME}")
    mirrors = {"https://www.cityscapes-dataset.com": "http://mirror.invalid"}
    with pytest.raises(InputError, match="not https"):
        fetch(source, tmp_path / NAME, lock=tmp_path / "lock", mirrors=mirrors)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_a_password_is_not_sent_to_a_server_with_a_certificate_of_nobody(
    site: Server, tmp_path: Path
) -> None:
    site.address = site.speak_tls(tmp_path)
    assert "no secure connection: the certificate is not valid" in fails(site, tmp_path)
    assert not site.asked


def test_without_cityscapesscripts(
    site: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cityscapesscripts.download", None)
    assert "[cityscapes]" in fails(site, tmp_path)


def test_cuts_are_resumed(site: Server, tmp_path: Path) -> None:
    site.behaviour(FILE).cuts = [MIB, MIB, 0]
    assert get(site, tmp_path) == digest(DATA)
    assert site.starts(FILE) == [0, MIB, 2 * MIB, 2 * MIB]
    # in one session
    assert [asked.method for asked in site.asked if asked.path == "/login"] == ["GET", "POST"]


def test_a_cut_that_lasts_is_resumed_by_the_next_try(site: Server, tmp_path: Path) -> None:
    site.behaviour(FILE).cuts = [MIB] + [0] * 20
    assert "run again to go on" in fails(site, tmp_path)
    site.behaviour(FILE).cuts = []
    assert get(site, tmp_path) == digest(DATA)
    assert site.starts(FILE)[-1] == MIB


def test_a_complete_file_before_the_check(site: Server, tmp_path: Path) -> None:
    site.behaviour(FILE).cuts = [MIB] + [0] * 20
    fails(site, tmp_path)
    [partial] = (tmp_path / "root").glob(f".*/{NAME}")
    partial.write_bytes(DATA)
    sent = sum(asked.sent for asked in site.asked)
    assert get(site, tmp_path) == digest(DATA)
    assert sum(asked.sent for asked in site.asked) == sent


def test_a_server_that_ignores_ranges(site: Server, tmp_path: Path) -> None:
    site.behaviour(FILE).cuts = [MIB]
    site.behaviour(FILE).ranges = False
    assert get(site, tmp_path) == digest(DATA)


def test_the_sites_md5_differs(site: Server, tmp_path: Path) -> None:
    site.md5[NAME] = "0" * 32
    line = fails(site, tmp_path)
    for part in (digest(DATA, "md5"), "md5:" + "0" * 32, "the Cityscapes site says", "removed"):
        assert part in line
    site.md5.clear()
    assert get(site, tmp_path) == digest(DATA)
    assert site.starts(FILE)[-1] == 0


def test_the_sites_word_counts_more_than_a_third_partys(
    site: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = digest(b"", "sha1")
    assert get(site, tmp_path, wrong) == digest(DATA)
    printed = capsys.readouterr().out
    for part in (wrong, digest(DATA, "sha1"), "a script of others",
                 f"The site's own {digest(DATA, 'md5')} agrees", "commit this file"):  # fmt: skip
        assert part in printed
    # from now on the lock file says what it must be
    assert get(site, tmp_path, wrong) == digest(DATA)
    assert sum(asked.sent for asked in site.asked) == len(DATA)


@pytest.mark.parametrize("answer", [b"<html>Log in</html>", b"", b"deadbeef"])
def test_no_md5(site: Server, tmp_path: Path, answer: bytes) -> None:
    site.md5[NAME] = answer.decode()
    assert "gives no md5" in fails(site, tmp_path)


def test_a_page_in_place_of_the_file(site: Server, tmp_path: Path) -> None:
    site.behaviour(FILE).content_type = "text/html; charset=UTF-8"
    assert "a web page in place of the file" in fails(site, tmp_path)


def test_packages_that_one_may_not_have(site: Server, tmp_path: Path) -> None:
    assert "does not offer it" in fails(site, tmp_path, name="other.zip")
    site.behaviour(FILE).status = 403
    assert "does not hand it out to this user" in fails(site, tmp_path)


def test_the_login_is_nowhere_to_be_seen(site: Server, tmp_path: Path) -> None:
    """Not in arguments, output, logs or files, while it runs, when it fails, when it is done."""
    site.behaviour(FILE).pause = 0.01
    folder = tmp_path / "work"
    command = [sys.executable, "-m", "workflow_scripts.fetch",
               "--source", json.dumps({"name": NAME, "url": f"cityscapes:{NAME}"}),
               "--lock", "lock.json", "--fetched", f"fetched/{NAME}", "--output", NAME,
               "--mirrors", json.dumps(site.mirrors), "--error-log", "log"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(Path(cityscapes_site.__file__).parents[2])}
    folder.mkdir()
    for md5 in ("0" * 32, None):
        site.md5 = {NAME: md5} if md5 else {}
        running = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        while FILE not in [asked.path for asked in site.asked] and running.poll() is None:
            time.sleep(0.01)
        arguments = Path(f"/proc/{running.pid}/cmdline")
        seen = [arguments.read_bytes() if arguments.exists() else b"", running.communicate()[0]]
        assert (running.returncode == 0) == (md5 is None), seen
        seen += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        assert not any(secret in text for text in seen for secret in (SECRET.encode(), b"someone"))
        site.asked.clear()
    assert (folder / NAME).read_bytes() == DATA
