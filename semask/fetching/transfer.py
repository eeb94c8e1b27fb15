"""Transfer of one file over HTTP: resumed after a cut, through mirrors, also from Google Drive.

gdown does the transfer: it resumes, retries and checks byte ranges. What it lacks is here: it would
continue a partial file of an older version, takes a web page for a file, and cannot know that a
partial file is complete already.
"""

import contextlib
import json
import shutil
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gdown
import requests
from gdown.download import get_url_from_gdrive_confirmation

import semask
from semask.base.errors import InputError
from semask.base.files import require_disk

TIMEOUT = (20.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""

RETRIES = 4
"""Times that a transfer that was cut is taken up again before it counts as failed."""

DRIVE = "https://drive.google.com"

_VERSION = "version.json"
_AGENT = f"semask-bench/{semask.__version__}"


def mirrored(url: str, mirrors: Mapping[str, str]) -> str:
    """A URL with the longest prefix that `mirrors` names replaced.

    Raises:
        InputError: a mirror is no http(s) URL, or holds a login.
    """
    for mirror in mirrors.values():
        parts = urllib.parse.urlsplit(mirror)
        if "@" in parts.netloc:
            # the config ends up in records and on command lines
            raise InputError(
                "config: downloads.mirrors: a URL with a login in it; put the login into ~/.netrc"
            )
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InputError(f"config: downloads.mirrors: {mirror!r} is no http(s) URL")
    for prefix in sorted(mirrors, key=len, reverse=True):
        if url.startswith(prefix):
            return mirrors[prefix] + url[len(prefix) :]
    return url


def transfer(
    url: str,
    target: Path,
    *,
    size: int | None,
    digest_known: bool,
    mirrors: Mapping[str, str],
    instead: Path,
) -> None:
    """Fetches a file, or what is missing of it after a cut; its digest is not yet checked then.

    Args:
        url: http(s) URL, or `drive:ID`.
        target: where to put it. Its folder must be there and hold nothing else: between two tries
            it keeps the partial file and what is known of it.
        size: bytes, if known.
        digest_known: whether the caller can tell a wrong file. If not, a partial file is continued
            only where the server says that it is still the same file.
        mirrors: see `mirrored`.
        instead: where the user may put a file from elsewhere, for the message.

    Raises:
        InputError: the server is not reached or refuses, the disk is too small, what comes is a web
            page or has another size. The partial file stays.
    """
    with requests.Session() as session, _plain_words(url, instead):
        session.headers.update({"User-Agent": _AGENT, "Accept-Encoding": "identity"})
        address, announced, validator = _locate(session, url, mirrors)
    if size is not None and announced not in (None, size):
        raise InputError(
            f"{url}: has {announced} bytes, {size} are expected; the file was replaced: "
            "give a mirror that has the right one (config key downloads.mirrors)"
        )
    # not the address: where Drive keeps a file changes from request to request
    version = {"url": mirrored(url, mirrors), "size": announced, "validator": validator}
    partial = _partial_of(target, version, digest_known)
    done = partial.stat().st_size if partial else 0
    if partial and done == announced:
        partial.rename(target)
    else:
        if announced is not None:
            require_disk(target.parent, announced - done, url)
        with _plain_words(url, instead):
            try:
                _run_gdown(address, target)
            except gdown.DownloadError as fault:
                # the server does not do byte ranges: nothing is left but to begin again
                if not done or "byte range" not in str(fault):
                    raise
                _discard(target)
                _run_gdown(address, target)
    # for whom the umask lets: gdown makes a file that nobody else can read
    shutil.copymode(target.parent / _VERSION, target)


def _locate(
    session: requests.Session, url: str, mirrors: Mapping[str, str]
) -> tuple[str, int | None, str | None]:
    """Where a file really is, its size and what tells its version, without fetching it."""
    drive = url.startswith("drive:")
    address = f"{DRIVE}/uc?id={url.removeprefix('drive:')}" if drive else url
    # Drive shows a page for files that it has not scanned for viruses, which links to the file
    for _ in range(2 if drive else 1):
        with session.get(mirrored(address, mirrors), stream=True, timeout=TIMEOUT) as response:
            if drive and response.status_code in (403, 429):
                raise gdown.exceptions.FileURLRetrievalError(f"HTTP {response.status_code}")
            response.raise_for_status()
            if not response.headers.get("Content-Type", "").startswith("text/html"):
                length = response.headers.get("Content-Length", "")
                tag: str | None = response.headers.get("ETag")
                if not tag or tag.startswith("W/"):
                    tag = response.headers.get("Last-Modified")
                return mirrored(address, mirrors), int(length) if length.isdigit() else None, tag
            if not drive:
                raise InputError(
                    f"{url}: the server sent a web page in place of the file; it may want a login "
                    "or have moved the file: open the URL in a browser"
                )
            address = get_url_from_gdrive_confirmation(response.text)
    raise gdown.exceptions.FileURLRetrievalError("a page in place of the file")


def _partial_of(target: Path, version: Mapping[str, Any], digest_known: bool) -> Path | None:
    """The partial file of an earlier try, if it is one of the same version; else none is left."""
    known = target.parent / _VERSION
    try:
        same = json.loads(known.read_bytes()) == version
    except (OSError, ValueError):
        same = False
    partials = list(target.parent.glob("*.part"))
    if not same or len(partials) > 1 or not (version["validator"] or digest_known):
        _discard(target)
        partials = []
    known.write_text(json.dumps(version), encoding="utf-8")
    return partials[0] if partials else None


def _discard(target: Path) -> None:
    for path in (*target.parent.glob("*.part"), target):
        path.unlink(missing_ok=True)


def _run_gdown(address: str, target: Path) -> None:
    gdown.download(
        url=address,
        output=str(target),
        quiet=True,
        resume=True,
        retries=RETRIES,
        timeout=TIMEOUT,
        user_agent=_AGENT,
        # keeps gdown from reading and writing cookies in the home folder
        use_cookies=False,
    )


@contextlib.contextmanager
def _plain_words(url: str, instead: Path) -> Iterator[None]:
    """Turns what can go wrong in a transfer into one line that names the URL."""
    try:
        yield
    except gdown.exceptions.FileURLRetrievalError as fault:
        raise InputError(
            f"{url}: Google Drive does not hand the file out ({_line(fault)}). Usually too many "
            "people fetched it: try again within a day, or get it another way and put it at "
            f"{instead} (that folder is the config key downloads.weights)"
        ) from None
    except (requests.RequestException, gdown.DownloadError, OSError) as fault:
        raise InputError(f"{url}: {reason_of(fault)}") from None


def reason_of(fault: Exception) -> str:
    """What went wrong in a transfer, and what to do, in one line."""
    cause = (fault.__cause__ if isinstance(fault, gdown.DownloadError) else None) or fault
    again = "what arrived is kept: run again to go on"
    if isinstance(cause, requests.HTTPError):
        status = cause.response.status_code if cause.response is not None else 0
        hint = "check the address, or give a mirror (config key downloads.mirrors)"
        return f"HTTP {status}; {hint if status < 500 else 'try later'}"
    if isinstance(cause, requests.exceptions.SSLError):
        return (
            "no secure connection: the certificate is not valid or there is no TLS; check the proxy"
        )
    if isinstance(cause, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        # what requests says of it may hold a part of the proxy's login
        return "no valid URL, or none of the proxy; check HTTPS_PROXY and HTTP_PROXY"
    if isinstance(cause, requests.Timeout):
        return f"no answer for {TIMEOUT[1]:.0f} s; {again}"
    if isinstance(cause, requests.ConnectionError):
        text = str(cause)
        if "NameResolution" in text or "resolve" in text:
            return "the server's name is not known; check the network, or give a mirror"
        if "refused" in text:
            return "connection refused; check the network, or give a mirror"
    if isinstance(cause, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return f"the connection was cut; {again}"
    if isinstance(cause, OSError) and cause.strerror:
        return f"{cause.strerror} ({cause.filename or 'while writing'}); {again}"
    return f"{_line(fault)}; {again}"


def _line(fault: Exception) -> str:
    # gdown sends its users to lines of hints of its own
    return " ".join(str(fault).split())[:200]
