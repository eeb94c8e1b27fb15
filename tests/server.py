"""A web server for the tests: files with byte ranges, faults on demand, the Cityscapes site, Drive.

The protocols of the Cityscapes site and of Google Drive are those that cityscapesscripts and gdown
expect.
"""

import contextlib
import hashlib
import json
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LOGIN_PAGE = b"<!DOCTYPE html>\n<html><body><form action='/login'>Log in</form></body></html>"


@dataclass
class Asked:
    """A request that came, and how many bytes of a body went out."""

    method: str
    path: str
    start: int | None = None
    sent: int = 0
    form: dict[str, str] = field(default_factory=dict)
    authorization: str | None = None


@dataclass
class Behaviour:
    """How a path is served, apart from its bytes."""

    cuts: list[int] = field(default_factory=list)
    """For the next answers with a body: after how many bytes the connection breaks."""
    ranges: bool = True
    validators: bool = True
    status: int = 200
    content_type: str = "application/octet-stream"
    pause: float = 0.0
    """Seconds between blocks of 64 KiB."""


class Server:
    """Serves `files`, by path with query, and remembers what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.behaviours: dict[str, Behaviour] = {}
        self.asked: list[Asked] = []
        # the Cityscapes site: name → bytes; who may log in
        self.packages: dict[str, bytes] = {}
        self.logins = {"someone": "tops3cret&pass"}
        self.md5: dict[str, str] = {}
        # Drive: id → bytes; ids with the page on viruses; ids out of quota
        self.drive: dict[str, bytes] = {}
        self.unscanned: set[str] = set()
        self.out_of_quota: set[str] = set()
        server = self

        class Handler(_Handler):
            state = server

        self._http = _QuietServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def speak_tls(self, folder: Path) -> str:
        """Goes over to HTTPS with a certificate of nobody, made in a folder; gives the address."""
        certificate, key = folder / "certificate", folder / "key"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        files = ["-keyout", str(key), "-out", str(certificate)]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files]
        subprocess.run(command, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        return self.address.replace("http://127.0.0.1", "https://localhost")

    def put(self, path: str, data: bytes, **behaviour: object) -> str:
        """Serves bytes under a path and gives back the URL."""
        self.files[path] = data
        self.behaviours[path] = Behaviour(**behaviour)  # type: ignore[arg-type]
        return self.address + path

    def behaviour(self, path: str) -> Behaviour:
        return self.behaviours.setdefault(path, Behaviour())

    def starts(self, path: str) -> list[int | None]:
        """From which byte on a path was asked for, request by request."""
        return [asked.start for asked in self.asked if asked.path == path]

    @property
    def mirrors(self) -> dict[str, str]:
        """Sends all that this program fetches to this server."""
        hosts = ("https://www.cityscapes-dataset.com", "https://drive.google.com",
                 "https://drive.usercontent.google.com", "https://github.com",
                 "http://data.csail.mit.edu")  # fmt: skip
        return dict.fromkeys(hosts, self.address)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Says nothing of connections that the client broke, which tests do on purpose."""


class _Handler(BaseHTTPRequestHandler):
    state: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        # small, so that what a client does not read is not counted as sent
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        super().setup()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        asked = Asked("GET", self.path, int(wanted[1]) if wanted else None)
        asked.authorization = self.headers.get("Authorization")
        self.state.asked.append(asked)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        if url.path == "/login":
            self._page(LOGIN_PAGE)
        elif url.path in ("/downloads/", "/md5-sum/", "/file-handling/"):
            self._cityscapes(url.path, query, asked)
        elif url.path in ("/uc", "/download") and "id" in query:
            self._drive(url.path, query, asked)
        elif self.path in self.state.files:
            self._file(self.state.files[self.path], asked)
        else:
            self._page(b"<html>Not found</html>", 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body))
        self.state.asked.append(Asked("POST", self.path, form=form))
        known = self.state.logins.get(form.get("username", ""))
        if known is None or known != form.get("password") or form.get("submit") != "Login":
            self._page(LOGIN_PAGE)
            return
        self.send_response(302)
        self.send_header("Location", "/downloads/")
        self.send_header("Set-Cookie", "session=in")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _cityscapes(self, path: str, query: dict[str, str], asked: Asked) -> None:
        if "session=in" not in self.headers.get("Cookie", ""):
            self.send_response(302)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        packages = self.state.packages
        if path == "/downloads/":
            listed = [
                {"name": name, "packageID": str(number), "size": "241MB", "thirdparty": "0"}
                for number, name in enumerate(packages, start=1)
            ]
            self._page(json.dumps(listed).encode(), content_type="application/json")
            return
        name = list(packages)[int(query["packageID"]) - 1]
        if path == "/md5-sum/":
            digest = self.state.md5.get(name, hashlib.md5(packages[name]).hexdigest())
            self._page(f"{digest}  {name}\n".encode(), content_type="text/plain")
        else:
            self._file(packages[name], asked)

    def _drive(self, path: str, query: dict[str, str], asked: Asked) -> None:
        name = query["id"]
        if name in self.state.out_of_quota:
            self._page(
                b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head>"
                b'<body>\n<p class="uc-error-caption">Sorry, you cannot view this file.</p>\n'
                b'<p class="uc-error-subcaption">Too many users have viewed this file.</p>\n'
                b"</body></html>"
            )
        elif name not in self.state.drive:
            self._page(b"<html>Not found</html>", 404)
        elif name in self.state.unscanned and "confirm" not in query:
            self._page(
                b'<!DOCTYPE html><html><body><form id="download-form" method="get" '
                b'action="https://drive.usercontent.google.com/download">'
                b'<input type="hidden" name="id" value="' + name.encode() + b'">'
                b'<input type="hidden" name="export" value="download">'
                b'<input type="hidden" name="confirm" value="t">'
                b'<input type="hidden" name="uuid" value="'
                + str(time.monotonic_ns()).encode()
                + b'"></form></body></html>'
            )
        else:
            self._file(self.state.drive[name], asked)

    def _page(self, data: bytes, status: int = 200, content_type: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _file(self, data: bytes, asked: Asked) -> None:
        how = self.state.behaviour(self.path)
        if how.status != 200:
            self._page(b"<html>no</html>", how.status)
            return
        tag = f'"{hashlib.sha1(data).hexdigest()}"'
        start = asked.start if how.ranges and asked.start is not None else 0
        whole = not how.ranges or asked.start is None
        if self.headers.get("If-Range") not in (None, tag):
            start, whole = 0, True
        if start >= len(data) and not whole:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        # before the headers, after which the next request may come
        cut = how.cuts.pop(0) if how.cuts else None
        self.send_response(200 if whole else 206)
        self.send_header("Content-Type", how.content_type)
        self.send_header("Content-Length", str(len(data) - start))
        if how.validators:
            self.send_header("ETag", tag)
        if not whole:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self._send(data[start:], how, asked, cut)

    def _send(self, data: bytes, how: Behaviour, asked: Asked, cut: int | None) -> None:
        with contextlib.suppress(OSError):
            for at in range(0, len(data[:cut]), 65536):
                block = data[:cut][at : at + 65536]
                self.wfile.write(block)
                asked.sent += len(block)
                if how.pause:
                    time.sleep(how.pause)
        if cut is not None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
