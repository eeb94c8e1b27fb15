"""Fetching over HTTP and from Drive: digests, pins, cuts and what servers send by mistake."""

import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from semask.base.errors import InputError
from semask.fetching.fetch import ALGORITHMS, Source, check_there, fetch
from semask.fetching.pins import read_pins

from ..server import LOGIN_PAGE, Server

# the module, which a function of the same name hides
GDOWN = importlib.import_module("gdown.download")
MIB = 2**20
SMALL = b"weights" * 1000
LARGE = random.Random(0).randbytes(8 * MIB)


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Place:
    """A folder to fetch into, with its lock file."""

    def __init__(self, folder: Path):
        self.target = folder / "weights" / "a file.pth"
        self.lock = folder / "downloads.lock.json"

    def fetch(
        self, url: str, digest: str | None = None, size: int | None = None, **mirrors: str
    ) -> str:
        source = Source(self.target.name, url, size, digest, "its authors" if digest else None)
        return fetch(source, self.target, lock=self.lock, mirrors=mirrors)

    def fails(
        self, url: str, digest: str | None = None, size: int | None = None, **mirrors: str
    ) -> str:
        """The one line that a failure gives."""
        before = self.target.exists()
        with pytest.raises(InputError) as caught:
            self.fetch(url, digest, size, **mirrors)
        assert self.target.exists() == before
        line = str(caught.value)
        assert "\n" not in line
        return line


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GDOWN, "_wait_or_cancel", lambda **_: None)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_published_digest_is_checked(server: Server, place: Place, algorithm: str) -> None:
    url = server.put("/file", SMALL)
    assert place.fetch(url, digest(SMALL, algorithm), len(SMALL)) == digest(SMALL)
    assert place.target.read_bytes() == SMALL
    assert os.listdir(place.target.parent) == [place.target.name]
    # what others published is not pinned again
    assert not place.lock.exists()


@pytest.mark.parametrize("kind", ["drive:id", "cityscapes:a.zip", "http"])
def test_it_is_for_whom_the_umask_lets(
    server: Server, place: Place, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.drive, server.packages = {"id": SMALL}, {"a.zip": SMALL}
    monkeypatch.setenv("CITYSCAPES_USERNAME", "someone")
    monkeypatch.setenv("CITYSCAPES_PASSWORD", server.logins["someone"])
    before = os.umask(0o027)
    try:
        place.fetch(server.put("/file", SMALL) if kind == "http" else kind, **server.mirrors)
    finally:
        os.umask(before)
    assert oct(place.target.stat().st_mode) == "0o100640"
    assert oct(place.lock.stat().st_mode) == "0o100640"


def test_a_file_that_is_there_is_not_fetched_again(server: Server, place: Place) -> None:
    url = server.put("/file", SMALL)
    place.fetch(url, digest(SMALL))
    before = len(server.asked)
    assert place.fetch(url, digest(SMALL)) == digest(SMALL)
    assert len(server.asked) == before


def any_file(_: Path) -> None:
    pass


@pytest.mark.parametrize("published", [digest(SMALL), digest(SMALL, "sha384"), None])
def test_a_file_that_was_right_is_read_again_only_once_it_changed(
    place: Place, published: str | None
) -> None:
    source = {"name": "swin.pth", "url": "https://nowhere.invalid", "digest": published}
    place.target.parent.mkdir()
    place.target.write_bytes(SMALL)
    assert check_there(source, place.target, place.lock, any_file) == digest(SMALL)
    # with the time of the last change put back, nobody sees that a byte is another one
    time_before = place.target.stat().st_mtime_ns
    with open(place.target, "r+b") as file:
        file.write(b"W")
    changed = place.target.stat()
    os.utime(place.target, ns=(changed.st_atime_ns, time_before))
    assert check_there(source, place.target, place.lock, any_file) == digest(SMALL)
    # other weights are asked for
    with pytest.raises(InputError, match="expected md5:"):
        check_there(
            {**source, "digest": f"md5:{'0' * 32}", "name": "b"}, place.target, place.lock, any_file
        )

    os.utime(place.target, ns=(changed.st_atime_ns, time_before + 1))
    with pytest.raises(InputError, match="move it away"):
        check_there(source, place.target, place.lock, any_file)
    place.target.write_bytes(SMALL)
    assert check_there(source, place.target, place.lock, any_file) == digest(SMALL)


def test_a_file_that_is_there_and_of_no_use_is_not_pinned(place: Place) -> None:
    def check(path: Path) -> None:
        raise InputError(f"{path}: holds nothing")

    source = {"name": "swin.pth", "url": "https://nowhere.invalid"}
    place.target.parent.mkdir()
    place.target.write_bytes(b"none")
    with pytest.raises(InputError, match="holds nothing"):
        check_there(source, place.target, place.lock, check)
    place.target.write_bytes(SMALL)
    assert check_there(source, place.target, place.lock, any_file) == digest(SMALL)


@pytest.mark.parametrize("memory", ["", "{}", "[1, 2]", '["sha256:0", null, 7, 7, 7]', "7"])
def test_a_damaged_memory_of_what_was_right_is_none(place: Place, memory: str) -> None:
    source = {"name": "swin.pth", "url": "https://nowhere.invalid"}
    place.target.parent.mkdir()
    place.target.write_bytes(SMALL)
    for known in (None, memory):
        if known is not None:
            [file] = place.target.parent.glob(".*.checked.json")
            file.write_text(known, encoding="utf-8")
        assert check_there(source, place.target, place.lock, any_file) == digest(SMALL)


def test_a_wrong_file_that_is_there_is_named_and_kept(server: Server, place: Place) -> None:
    place.target.parent.mkdir()
    place.target.write_bytes(b"mine")
    line = place.fails(server.put("/file", SMALL), digest(SMALL))
    for part in (str(place.target), digest(b"mine"), digest(SMALL), "its authors", "move it away"):
        assert part in line
    assert place.target.read_bytes() == b"mine"
    assert not server.asked


def test_a_wrong_digest_after_the_transfer(server: Server, place: Place) -> None:
    url = server.put("/file", b"other" + SMALL)
    line = place.fails(url, digest(SMALL, "md5"))
    for part in (digest(b"other" + SMALL, "md5"), digest(SMALL, "md5"), "its authors"):
        assert part in line
    # nothing of it is left that a next try would go on from
    server.put("/file", SMALL)
    assert place.fetch(url, digest(SMALL, "md5")) == digest(SMALL)
    assert None in server.starts("/file")[-2:]


def test_a_digest_that_is_none(server: Server, place: Place) -> None:
    for wrong in ("crc32:00", "md5:12", "0" * 32):
        assert "is no digest" in place.fails(server.put("/file", SMALL), wrong)


def test_the_first_file_is_pinned(
    server: Server, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.put("/file", SMALL)
    assert place.fetch(url) == digest(SMALL)
    said = f"a file.pth: no digest is published; pinned {digest(SMALL)} in {place.lock}: commit"
    assert said in capsys.readouterr().out
    pinned = json.loads(place.lock.read_text(encoding="utf-8"))["a file.pth"]
    assert pinned["url"] == url
    assert pinned["size"] == len(SMALL)
    assert f"sha256:{pinned['sha256']}" == digest(SMALL)
    assert place.fetch(url) == digest(SMALL)
    assert "pinned" not in capsys.readouterr().out


def test_another_file_than_the_pinned_one(server: Server, place: Place) -> None:
    place.fetch(server.put("/file", SMALL))
    place.target.unlink()
    line = place.fails(server.put("/file", b"other" + SMALL))
    for part in (digest(SMALL), digest(b"other" + SMALL), str(place.lock)):
        assert part in line
    assert f"sha256:{read_pins(place.lock)['a file.pth']['sha256']}" == digest(SMALL)


def test_a_file_from_elsewhere_is_pinned(server: Server, place: Place) -> None:
    place.target.parent.mkdir()
    place.target.write_bytes(SMALL)
    assert place.fetch(server.address + "/gone") == digest(SMALL)
    assert not server.asked
    assert f"sha256:{read_pins(place.lock)['a file.pth']['sha256']}" == digest(SMALL)


def test_a_pin_outranks_a_published_size(server: Server, place: Place) -> None:
    """As where the authors have put another file there."""
    place.fetch(server.put("/file", SMALL))
    assert place.fetch(server.address + "/gone", size=len(SMALL) + 1) == digest(SMALL)


def test_many_pin_at_once(server: Server, tmp_path: Path) -> None:
    def one(number: int) -> str:
        url = server.put(f"/{number:02}", SMALL + bytes([number]))
        source = Source(f"{number:02}", url)
        return fetch(source, tmp_path / source.name, lock=tmp_path / "lock.json", mirrors={})

    with ThreadPoolExecutor(8) as threads:
        digests = list(threads.map(one, range(16)))
    pins = json.loads((tmp_path / "lock.json").read_text(encoding="utf-8"))
    assert list(pins) == [f"{number:02}" for number in range(16)]
    assert [f"sha256:{pin['sha256']}" for pin in pins.values()] == digests


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a file.pth": {}}', '{"x": {"sha256": 1}}'])
def test_a_damaged_lock_file(server: Server, place: Place, content: str) -> None:
    place.lock.write_text(content, encoding="utf-8")
    assert str(place.lock) in place.fails(server.put("/file", SMALL))
    assert place.lock.read_text(encoding="utf-8") == content


def test_a_cut_is_resumed_at_once(server: Server, place: Place) -> None:
    url = server.put("/file", LARGE)
    # the first answer tells what is there, the second one is the transfer
    server.behaviour("/file").cuts = [0, 3 * MIB, MIB]
    assert place.fetch(url, digest(LARGE)) == digest(LARGE)
    assert server.starts("/file") == [None, None, 3 * MIB, 4 * MIB]


def test_a_cut_that_lasts_is_resumed_by_the_next_try(server: Server, place: Place) -> None:
    url = server.put("/file", LARGE)
    server.behaviour("/file").cuts = [0, 3 * MIB] + [0] * 10
    line = place.fails(url)
    assert "cut" in line or "incomplete" in line
    assert "run again to go on" in line
    server.behaviour("/file").cuts = []
    before = len(server.asked)
    assert place.fetch(url) == digest(LARGE)
    assert server.starts("/file")[before:][-1] == 3 * MIB


def test_killed_and_resumed(server: Server, place: Place) -> None:
    url = server.put("/file", LARGE, pause=0.02)
    source = json.dumps({"name": "a file.bin", "url": url})
    command = [sys.executable, "-m", "workflow_scripts.fetch", "--source", source, "--lock",
               str(place.lock), "--fetched", str(place.target),
               "--output", str(place.target.with_name("linked.bin"))]  # fmt: skip
    running = subprocess.Popen(command)
    deadline = time.monotonic() + 300
    while not any(file.stat().st_size for file in place.target.parent.glob(".*/*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    [partial] = place.target.parent.glob(".*/*.part")
    had = partial.stat().st_size
    assert 0 < had < len(LARGE)
    assert not place.target.exists()
    server.asked.clear()
    server.behaviour("/file").pause = 0.0
    subprocess.run(command, check=True)
    assert place.target.read_bytes() == LARGE
    assert place.target.with_name("linked.bin").read_bytes() == LARGE
    assert server.starts("/file")[-1] == had
    # what was there already is not fetched again: some buffers of the first looks at most
    assert sum(asked.sent for asked in server.asked) < len(LARGE) - had + 4 * MIB < len(LARGE) * 1.5
    assert server.asked[-1].sent == len(LARGE) - had


def interrupted(server: Server, place: Place, data: bytes, **behaviour: object) -> str:
    """Leaves a partial file of 3 MiB behind."""
    url = server.put("/file", data, **behaviour)
    server.behaviour("/file").cuts = [0, 3 * MIB] + [0] * 10
    place.fails(url)
    server.behaviour("/file").cuts = []
    [partial] = place.target.parent.glob(".*/*.part")
    assert partial.stat().st_size == 3 * MIB
    return url


def test_a_file_that_changed_in_between_is_not_spliced(server: Server, place: Place) -> None:
    url = interrupted(server, place, LARGE)
    changed = bytes(len(LARGE))
    server.files["/file"] = changed
    # without a published digest nothing else would notice
    assert place.fetch(url) == digest(changed)


def test_a_server_without_versions_is_resumed_only_by_digest(server: Server, place: Place) -> None:
    url = interrupted(server, place, LARGE, validators=False)
    server.files["/file"] = bytes(len(LARGE))
    assert place.fetch(url) == digest(bytes(len(LARGE)))
    place.target.unlink()
    place.lock.unlink()
    url = interrupted(server, place, LARGE, validators=False)
    assert place.fetch(url, digest(LARGE)) == digest(LARGE)


def test_a_server_that_stops_doing_ranges(server: Server, place: Place) -> None:
    url = interrupted(server, place, LARGE)
    server.behaviour("/file").ranges = False
    assert place.fetch(url) == digest(LARGE)


def test_a_partial_file_that_is_complete(server: Server, place: Place) -> None:
    url = interrupted(server, place, LARGE)
    [partial] = place.target.parent.glob(".*/*.part")
    partial.write_bytes(LARGE)
    sent = sum(asked.sent for asked in server.asked)
    assert place.fetch(url) == digest(LARGE)
    assert sum(asked.sent for asked in server.asked) < sent + MIB


@pytest.mark.parametrize(
    ("status", "says"), [(404, "HTTP 404"), (403, "HTTP 403"), (503, "HTTP 503; try later")]
)
def test_a_server_that_refuses(server: Server, place: Place, status: int, says: str) -> None:
    url = server.put("/file", SMALL, status=status)
    assert f"{url}: {says}" in place.fails(url)


PROXIES = ["http://me:s3cret@host:notaport", "http://me:s3c/ret@host:1", "me:s3cret@127.0.0.1:1",
           "http://me:s3cret@127.0.0.1:1", "foo://me:s3cret@127.0.0.1:1"]  # fmt: skip


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxys_login_is_not_repeated(
    place: Place, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    line = place.fails("https://nowhere.invalid/file")
    assert not [part for part in ("s3c", "ret@", "me:") if part in line]


def test_a_login_of_netrc(
    server: Server, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """It goes to its server, and nowhere else."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login zaphod password h3art\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    place.fetch(server.put("/file", SMALL))
    assert {asked.authorization for asked in server.asked} == {"Basic emFwaG9kOmgzYXJ0"}
    texts = [path.read_text(encoding="utf-8") for path in (place.target, place.lock)] + [
        *capsys.readouterr()
    ]
    assert not [text for text in texts if "zaphod" in text or "h3art" in text]


def test_servers_that_are_not_there(server: Server, place: Place) -> None:
    assert "refused" in place.fails("http://127.0.0.1:1/file")
    assert "name is not known" in place.fails("http://nowhere.invalid/file")
    assert "no secure connection" in place.fails(server.address.replace("http:", "https:") + "/f")


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate with openssl")
def test_a_certificate_of_nobody(server: Server, place: Place, tmp_path: Path) -> None:
    server.put("/file", SMALL)
    url = server.speak_tls(tmp_path) + "/file"
    assert "no secure connection" in place.fails(url, digest(SMALL))
    assert not server.asked


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
@pytest.mark.parametrize("page", [LOGIN_PAGE, b"\xef\xbb\xbf\n <HTML><body>Sign in</body></HTML>"])
def test_a_page_is_never_a_file(
    server: Server, place: Place, page: bytes, content_type: str
) -> None:
    assert "web page" in place.fails(server.put("/file", page, content_type=content_type))
    assert not place.lock.exists()


def test_another_size_stops_before_the_transfer(server: Server, place: Place) -> None:
    url = server.put("/file", LARGE)
    line = place.fails(url, None, len(LARGE) + 1)
    assert f"has {len(LARGE)} bytes, {len(LARGE) + 1} are expected" in line
    assert server.asked[-1].sent < MIB


def test_too_small_a_disk(server: Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.put("/file", LARGE)
    usage = shutil.disk_usage(".")._replace(free=1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert "0.01 GiB" in place.fails(url)
    assert "0.00 GiB are free" in place.fails(url)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_fills_up(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_a_full_disk(*, output: str, **_: object) -> tuple[str, bool]:
        return "/dev/full", False

    monkeypatch.setattr(GDOWN, "_prepare_partial_file", to_a_full_disk)
    assert "No space left on device" in place.fails(server.put("/file", LARGE))


def test_places_that_are_none(server: Server, place: Place) -> None:
    url = server.put("/file", SMALL)
    place.target.mkdir(parents=True)
    assert f"{place.target}: cannot be fetched to (Is a directory" in place.fails(url)
    place.target.rmdir()
    place.target.parent.rmdir()
    place.target.parent.write_bytes(b"")
    assert "cannot be fetched to" in place.fails(url)


def test_one_process_at_a_time(server: Server, place: Place) -> None:
    url = server.put("/file", LARGE, pause=0.01)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(place.fetch, url)
        while not server.asked:
            time.sleep(0.01)
        assert "another process is fetching it" in place.fails(url)
        assert first.result() == digest(LARGE)


def test_mirrors(server: Server, place: Place) -> None:
    server.put("/here/file", SMALL)
    mirrors = {"http://far.invalid": "http://wrong.invalid",
               "http://far.invalid/data": f"{server.address}/here"}  # fmt: skip
    assert place.fetch("http://far.invalid/data/file", **mirrors) == digest(SMALL)
    # the pin names the real address
    assert read_pins(place.lock)["a file.pth"]["url"] == "http://far.invalid/data/file"


@pytest.mark.parametrize("mirror", ["ftp://host/", "/a/folder", "https://me:secret@host/"])
def test_mirrors_that_are_none(place: Place, mirror: str) -> None:
    line = place.fails("http://far.invalid/file", **{"http://other.invalid": mirror})
    assert "downloads.mirrors" in line
    assert "secret" not in line


class TestDrive:
    def test_small_and_large_files(self, server: Server, place: Place) -> None:
        server.drive = {"small": SMALL, "large": LARGE}
        server.unscanned = {"large"}
        for name, data in server.drive.items():
            assert place.fetch(f"drive:{name}", **server.mirrors) == digest(data)
            assert read_pins(place.lock)["a file.pth"]["url"] == f"drive:{name}"
            place.target.unlink()
            place.lock.unlink()

    def test_resumed(self, server: Server, place: Place) -> None:
        server.drive = {"large": LARGE}
        path = "/uc?id=large"
        server.behaviour(path).cuts = [0, 3 * MIB] + [0] * 10
        place.fails("drive:large", **server.mirrors)
        server.behaviour(path).cuts = []
        assert place.fetch("drive:large", **server.mirrors) == digest(LARGE)
        assert server.starts(path)[-1] == 3 * MIB

    def test_out_of_quota(self, server: Server, place: Place) -> None:
        server.drive = {"file": SMALL}
        server.out_of_quota = {"file"}
        line = place.fails("drive:file", **server.mirrors)
        for part in ("Too many users", "within a day", str(place.target), "downloads.weights"):
            assert part in line

    def test_not_public(self, server: Server, place: Place) -> None:
        server.put("/uc?id=file", LOGIN_PAGE, content_type="text/html")
        server.drive = {"file": LOGIN_PAGE}
        server.behaviour("/uc?id=file").content_type = "text/html"
        assert "does not hand the file out" in place.fails("drive:file", **server.mirrors)
        assert "HTTP 404" in place.fails("drive:other", **server.mirrors)


def test_nothing_is_pinned_before_it_is_found_usable(server: Server, place: Place) -> None:
    def refuse(path: Path) -> None:
        raise InputError(f"{path}: of no use")

    source = Source("a.bin", server.put("/a", b"some bytes"))
    with pytest.raises(InputError, match="of no use"):
        fetch(source, place.target, lock=place.lock, mirrors={}, check=refuse)
    assert not place.lock.exists()
    assert not place.target.exists()
    # what was of no use is gone, so that the next try starts anew
    assert fetch(source, place.target, lock=place.lock, mirrors={}).startswith("sha256:")


def test_an_empty_file_is_none(server: Server, place: Place) -> None:
    source = Source("a.bin", server.put("/a", b""))
    with pytest.raises(InputError, match="empty"):
        fetch(source, place.target, lock=place.lock, mirrors={})
    assert not place.lock.exists()
