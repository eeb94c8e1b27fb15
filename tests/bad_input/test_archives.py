"""Archives of a data set, from a server that gives what a case makes of them."""

import hashlib
import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from ..server import Server
from .conftest import Place, named, nothing

NAME = "archive.zip"
DOWNLOAD: dict[str, Any] = {
    "--root": "downloaded",
    "--lock": "pins.json",
    "--output": "downloaded.json",
}


def packed(*members: tuple[str, bytes], mode: int = 0) -> bytes:
    """A zip archive with a harmless member before the given ones, which have a mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("harmless.txt", b"harmless")
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def patched(offset: int, value: bytes, data: bytes | None = None) -> bytes:
    """Another value in the last member's entry of the directory."""
    changed = bytearray(data or packed(("evil.txt", b"text" * 100)))
    at = changed.rindex(b"PK\x01\x02") + offset
    changed[at : at + len(value)] = value
    return bytes(changed)


def flipped(data: bytes) -> bytes:
    """One bit of the first member's content changed."""
    at = data.index(b"harmless.txt") + len("harmless.txt") + 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


GOOD = packed(("images/a.png", b"an image"))
DIGEST = f"sha256:{hashlib.sha256(GOOD).hexdigest()}"


class Case(NamedTuple):
    name: str
    data: bytes
    says: list[str]
    source: Mapping[str, Any] = MappingProxyType({})
    spoil: Callable[[Place], object] = nothing


CASES = [
    Case("truncated", GOOD[:-30], [NAME, "not a whole zip archive"]),
    Case("no zip", b"Rar!" * 99, [NAME, "not a whole zip archive"]),
    Case("empty file", b"", [NAME, "is empty"]),
    Case("web page", b"<!DOCTYPE html><html>Log in</html>", [NAME, "web page"]),
    Case("leads outside", packed(("../evil", b"x")), [NAME, "'../evil' leads outside"]),
    Case("absolute", packed(("/etc/evil", b"x")), [NAME, "'/etc/evil' has an absolute path"]),
    Case("drive", packed(("C:evil", b"x")), [NAME, "absolute path"]),
    Case("backslash", packed(("..\\evil", b"x")), [NAME, "backslash"]),
    Case("newline", packed(("../a\nb", b"x")), [NAME, "'../a\\nb' leads outside"]),
    Case("link", packed(("evil", b"/etc"), mode=stat.S_IFLNK | 0o777), [NAME, "is a link"]),
    Case("device", packed(("evil", b""), mode=stat.S_IFBLK | 0o600), [NAME, "neither a file"]),
    Case("member twice", packed(("a", b"x"), ("a", b"y")), [NAME, "is in it twice"]),
    Case("file and folder", packed(("a", b"x"), ("a/b", b"y")), [NAME, "both a file and a folder"]),
    Case("encrypted", patched(8, b"\x01\x00"), [NAME, "is encrypted"]),
    Case("unknown method", patched(10, b"\x63\x00"), [NAME, "method 99"]),
    Case("damaged member", flipped(GOOD), [NAME, "damaged"]),
    Case("size that lies", patched(24, struct.pack("<I", 7)), [NAME, "damaged"]),
    Case("bomb", packed(("zeros", bytes(20_000_000))), [NAME, "more than 100-fold"]),
    Case("wrong digest", GOOD, [NAME, "expected sha256:00000"], {"digest": "sha256:" + "0" * 64}),
    Case("no digest", GOOD, [NAME, "'sha256:12' is no digest"], {"digest": "sha256:12"}),
    Case("unknown digest", GOOD, [NAME, "ALGORITHM"], {"digest": "crc32:00000000"}),
    Case("wrong size", GOOD, [NAME, "5 are expected"], {"size": 5}),
    Case("not there", b"", ["nothing.zip", "404"], {"url": "{address}/nothing.zip"}),
    Case("another pin", GOOD, [NAME, "pins.json", "expected sha256:0000"], {},
         lambda p: p.write("pins.json", '{"archive.zip": {"sha256": "%s"}}' % ("0" * 64))),
    Case("damaged pins", GOOD, ["pins.json", "not valid JSON"], {},
         lambda p: p.write("pins.json", '{"archive.zip": ')),
    Case("pins without digest", GOOD, ["pins.json", "archive.zip has no sha256"], {},
         lambda p: p.write("pins.json", '{"archive.zip": {}}')),
    Case("pins a list", GOOD, ["pins.json", "not a lock file"], {},
         lambda p: p.write("pins.json", "[]")),
    Case("pins a folder", GOOD, ["pins.json"], {}, lambda p: p.write("pins.json/a", "")),
    Case("file in the way", GOOD, ["downloaded/images", "something else"], {"digest": DIGEST},
         lambda p: p.write("downloaded/images", "mine")),
    Case("other content", GOOD, ["downloaded/harmless.txt", "other content"], {"digest": DIGEST},
         lambda p: p.write("downloaded/harmless.txt", "mine")),
    Case("root a file", GOOD, ["downloaded"], {}, lambda p: p.write("downloaded", "mine")),
    Case("output a folder", GOOD, ["downloaded.json"], {},
         lambda p: p.write("downloaded.json/a", "mine")),
    Case("archive called outside", GOOD, ["--archives", "name"], {"name": "../archive.zip"}),
    Case("archive without URL", GOOD, ["--archives", "url"], {"url": None}),
    Case("archive with a typo", GOOD, ["--archives", "folder"], {"folder": ["a"]}),
    Case("size as text", GOOD, ["--archives", "size"], {"size": "big"}),
    Case("no protocol", GOOD, ["--archives", "url"], {"url": "archive.zip"}),
]  # fmt: skip


def options_of(server: Server, data: bytes, **changes: Any) -> dict[str, Any]:
    url = server.put(f"/{NAME}", data)
    source = {"name": NAME, "url": url, **changes}
    if source["url"]:
        source["url"] = source["url"].format(address=server.address)
    return {"--archives": [source], **DOWNLOAD}


def test_good_input(place: Place, server: Server) -> None:
    ended = place.run("download", options_of(server, GOOD))
    assert ended.status == 0, ended
    assert (place / "downloaded/images/a.png").read_bytes() == b"an image"


@named(CASES)
def test_refused(place: Place, server: Server, case: Case) -> None:
    case.spoil(place)
    place.refusal("download", options_of(server, case.data, **case.source), case.says)


@pytest.mark.parametrize(
    ("mirrors", "says"),
    [
        ("{", ["--mirrors", "JSON"]),
        ("[]", ["--mirrors"]),
        ('{"http://a": 3}', ["--mirrors", "3"]),
        ('{"http://127": "http://me:secret@127"}', ["downloads.mirrors", "login"]),
        ('{"http://127": "ftp://127"}', ["ftp://127"]),
    ],
)
def test_mirrors_refused(place: Place, server: Server, mirrors: str, says: list[str]) -> None:
    options = {**options_of(server, GOOD), "--mirrors": mirrors}
    line = place.refusal("download", options, says)
    assert "secret" not in line
