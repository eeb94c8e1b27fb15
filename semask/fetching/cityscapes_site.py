"""Packages of the Cityscapes site, which wants a login, through cityscapesscripts' csDownload.

csDownload asks for the login at a terminal, deletes its file of credentials when the site refuses
it, continues a partial file even where the server sends the whole one, and fails on one that is
complete. The session that it is given here keeps it from all of these.
"""

import contextlib
import hashlib
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from semask.base.errors import InputError
from semask.base.files import read_json, require_disk
from semask.fetching.transfer import RETRIES, TIMEOUT, mirrored, reason_of

SITE = "https://www.cityscapes-dataset.com"
USERNAME, PASSWORD = "CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"

_CUT = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def fetch_package(package: str, folder: Path, *, mirrors: Mapping[str, str]) -> tuple[Path, str]:
    """Fetches a package, or what is missing of it after a cut, and checks it by the site's md5.

    The login comes from the environment variables CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD, or
    from the file of credentials that csDownload writes; it goes to the site and nowhere else.
    `package` is the site's name of it, for example `gtFine_trainvaltest.zip`; `folder` holds the
    partial file between two tries; of `mirrors` see `semask.fetching.transfer.mirrored`. Gives the
    file, and its md5 (32 hexadecimal digits) as the site says.

    Raises:
        InputError: no login, a refused one, no access to the package, another md5, or the site is
            not reached. The partial file stays, except for one with another md5.
    """
    try:
        from cityscapesscripts.download import downloader
    except ImportError:
        raise InputError(
            "Cityscapes is downloaded with cityscapesscripts, which is not installed: install "
            "the extra [cityscapes] (in a checkout: pip install --editable '.[cityscapes]')"
        ) from None
    target = folder / package
    with _Session(package, target, mirrors) as session:
        try:
            with _plain_words(package):
                _log_in(session, mirrors)
        except _CUT as fault:
            raise InputError(f"{SITE}/login: {reason_of(fault)}") from None
        for attempt in range(RETRIES + 1):
            try:
                with _plain_words(package), _quiet():
                    downloader.download_packages(
                        session=session,
                        package_names=[package],
                        destination_path=str(folder),
                        resume=True,
                    )
                return target, session.md5
            except _NothingMoreError:
                break
            except _CUT as fault:
                if attempt == RETRIES:
                    raise InputError(f"{SITE} {package}: {reason_of(fault)}") from None
                time.sleep(min(2**attempt, 30) if attempt else 0)
    with open(target, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != session.md5:
        target.unlink()
        raise InputError(
            f"{package}: has md5:{found}, the Cityscapes site says md5:{session.md5}; it was "
            "removed: run again to fetch it anew"
        )
    return target, session.md5


class _NothingMoreError(Exception):
    """The server has nothing after what is there; whether that is right is yet to be seen."""


class _Session(requests.Session):
    """A session with mirrors and time limits, which looks at what csDownload takes on trust."""

    def __init__(self, package: str, target: Path, mirrors: Mapping[str, str]):
        super().__init__()
        self.package, self.target, self.mirrors = package, target, mirrors
        self.md5 = ""

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Sends a request; see `requests.Session.request`."""
        options.setdefault("timeout", TIMEOUT)
        response = super().request(method, mirrored(url, self.mirrors), **options)
        path = urllib.parse.urlsplit(url).path
        if path.rstrip("/") == "/login":
            return response
        if response.is_redirect or response.status_code in (401, 403):
            raise InputError(
                f"{self.package}: the Cityscapes site does not hand it out to this user; log in at "
                f"{SITE} with a browser, see that the package is offered there, then run again"
            )
        if path.startswith("/md5-sum"):
            response.raise_for_status()
            md5 = re.match(r"\s*([0-9a-f]{32})(?!\S)", response.text)
            if md5 is None:
                raise InputError(
                    f"{self.package}: the Cityscapes site gives no md5 for it; try again later"
                )
            self.md5 = md5[1]
        if path.startswith("/file-handling"):
            self._look_at(response)
        return response

    def _look_at(self, response: requests.Response) -> None:
        """Looks at the answer to a request for the file from some byte on."""
        start = self.target.stat().st_size
        if start and response.status_code == 416:
            raise _NothingMoreError
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise InputError(
                f"{self.package}: the Cityscapes site sent a web page in place of the file; log in "
                f"at {SITE} with a browser and look at what it asks for"
            )
        part = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if start and (part is None or int(part[1]) != start):
            # the whole file, not the rest: csDownload, which has it open, appends to nothing then
            os.truncate(self.target, 0)
            if part is not None:
                raise requests.ConnectionError("another part than the one that was asked for")
        require_disk(
            self.target.parent, int(response.headers.get("Content-Length", 0)), self.package
        )


def _credentials() -> tuple[str, str, str]:
    """User name, password, and where they are from."""
    import appdirs

    username, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
    if username and password:
        return username, password, f"{USERNAME} and {PASSWORD}"
    if username or password:
        unset = PASSWORD if username else USERNAME
        raise InputError(f"the environment variable {unset} is not set; Cityscapes wants both")
    # where csDownload keeps them
    path = Path(appdirs.user_data_dir("cityscapesscripts", "cityscapes"), "credentials.json")
    if not path.exists():
        raise InputError(
            f"Cityscapes wants a login: set the environment variables {USERNAME} and {PASSWORD}, "
            f"or run csDownload once and let it store them in {path}"
        )
    known = read_json(path)
    if not isinstance(known, dict) or not all(
        isinstance(known.get(key), str) for key in ("username", "password")
    ):
        raise InputError(f"{path}: holds no username and password; let csDownload write it anew")
    return known["username"], known["password"], str(path)


def _log_in(session: requests.Session, mirrors: Mapping[str, str]) -> None:
    username, password, place = _credentials()
    address = f"{SITE}/login"
    server = urllib.parse.urlsplit(mirrored(address, mirrors))
    if server.scheme != "https" and server.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise InputError(
            f"config: downloads.mirrors: the mirror of {SITE} is not https; a password is not sent "
            "in the clear"
        )
    session.get(address, allow_redirects=False).raise_for_status()
    form = {"username": username, "password": password, "submit": "Login"}
    answer = session.post(address, data=form, allow_redirects=False)
    answer.raise_for_status()
    # the site shows its form again to those whom it does not know
    if answer.status_code != 302:
        raise InputError(f"the Cityscapes site refuses the login; check {place}")


@contextlib.contextmanager
def _plain_words(package: str) -> Iterator[None]:
    """Turns what csDownload raises into what can be acted upon; cuts stay what they are."""
    try:
        yield
    except (InputError, _NothingMoreError):
        raise
    except OSError as fault:
        if isinstance(fault, _CUT) and not isinstance(fault, requests.exceptions.SSLError):
            raise
        raise InputError(f"{SITE} {package}: {reason_of(fault)}") from None
    except Exception as fault:
        # csDownload raises plain Exceptions, told apart by what they say alone
        if "MD5" in str(fault):
            raise _NothingMoreError from None
        if "do not exist or you don't have access" in str(fault):
            raise InputError(
                f"{package}: the Cityscapes site does not offer it to this user; see {SITE}"
                "/downloads for those that it does"
            ) from None
        raise InputError(
            f"{SITE} {package}: an answer that cityscapesscripts does not expect "
            f"({type(fault).__name__}); install a newer cityscapesscripts, or download by hand"
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps progress bars out of logs."""
    with contextlib.ExitStack() as stack:
        if not sys.stderr.isatty():
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield
