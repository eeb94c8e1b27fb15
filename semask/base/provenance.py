"""Where a figure comes from: the code, the machine, the command."""

import ast
import hashlib
import importlib.metadata
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import semask
from semask.base.processes import output_of

_PACKAGES = ("semask", "workflow_scripts")
_VERSIONS_OF = ("numpy", "opencv-python-headless", "pillow", "snakemake", "timm")


def source_digest(module: str, leave_out: Collection[str] = (), also: Collection[str] = ()) -> str:
    """SHA-256 (64 hex digits) over the source of a module and what it imports of this project.

    The imports are read from the source, also those inside functions, so nothing is run. A rule
    that carries this digest runs again when the code it runs has changed, and only then.

    Args:
        module: dotted name, for example `workflow_scripts.train`.
        leave_out: dotted names that do not decide what the module makes; they and what only they
            import do not count.
        also: further modules that count, for what `module` imports by name as it runs.
    """
    found: dict[str, Path] = {}
    waiting = [module, *also]
    while waiting:
        name = waiting.pop()
        if name in found or name in leave_out or (path := _source_of(name)) is None:
            continue
        found[name] = path
        waiting += _imports_of(path)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + found[name].read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _source_of(name: str) -> Path | None:
    """File of a module of this project; None for other modules and for names inside modules."""
    top, *rest = name.split(".")
    if top not in _PACKAGES:
        return None
    folder = Path(semask.__file__).parents[1].joinpath(top, *rest)
    paths = (folder / "__init__.py", folder.with_suffix(".py"))
    return next((path for path in paths if path.is_file()), None)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements within one; expressions, of which there are ten times as many, import none."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, part, ()):
            yield inner
            yield from _statements(inner)


@cache
def _imports_of(path: Path) -> list[str]:
    names = []
    for node in _statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def code_version() -> str:
    """Version of the package and, in a git checkout, its commit, marked where files differ."""
    root = Path(semask.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return semask.__version__
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = "+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.SubprocessError):
        return semask.__version__
    return f"{semask.__version__}+git.{commit}{changed}"


def _git(root: Path, *arguments: str) -> str:
    # of another's checkout, as a container's may be, git says nothing else; before 2.38 it does
    # not heed this
    safe = f"safe.directory={root}"
    return output_of("git", "-c", safe, "-C", str(root), *arguments).strip()


def now() -> str:
    """Time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def describe_run(module: str, started: str) -> dict[str, Any]:
    """Provenance of a run of a script, to be taken when it ends.

    Keys: code_version, code_digest, host, platform, python, versions (of packages), command,
    started, ended.
    """
    command = shlex.join([Path(sys.executable).name, "-m", module, *sys.argv[1:]])
    return {
        "code_version": code_version(),
        "code_digest": source_digest(module),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONS_OF},
        # of a folder with a line end in its name, say: records hold nothing that is not printed
        "command": "".join(x if x.isprintable() else ascii(x)[1:-1] for x in command),
        "started": started,
        "ended": now(),
    }
