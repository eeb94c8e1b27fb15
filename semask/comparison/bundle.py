"""Bundles: the records of one machine's rows in one verified file, for a table made elsewhere.

A bundle is a zip archive, nothing in it compressed, of `bundle.json` and of files named as under
the folder of the results, such as `gpu-1p/full/seed0/train.json`. `bundle.json` has `schema` (its
version), `experiment`, `host`, `made` (UTC), `code_version`, `files` (SHA-256 and bytes by name)
and `digest`, a SHA-256 over all the rest: whoever was told that digest by another way knows that
the bundle is the one that was packed. A bundle may be signed, by a file beside it
(`semask.fetching.signatures`).
"""

import json
import os
import shutil
import socket
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.files import atomically, digest_of, read_json, sha256, write_atomically
from semask.base.provenance import code_version, now
from semask.base.schema_faults import first_fault
from semask.base.schema_parts import DIGEST, NATURAL, TEXT, map_of, object_of
from semask.base.zip_damage import DAMAGE
from semask.comparison.bundled import FILE, check_texts, check_together
from semask.fetching.archives import extract
from semask.fetching.signatures import Signer, sign, signature_of, verify

SCHEMA = 1
MANIFEST = "bundle.json"
SIGNER = "signer.json"
"""Who signed a bundle, beside the manifest of one that was unpacked and verified."""
_MANIFEST = object_of(
    schema={"const": SCHEMA},
    **dict.fromkeys(("experiment", "host", "made", "code_version"), TEXT),
    files={**map_of(object_of(sha256=DIGEST, bytes=NATURAL)), "minProperties": 1},
    digest=DIGEST,
)
_REMEDY = "ask for the bundle again where it was made"


def pack(
    bundle: Path, experiment: str, results: Path, files: Sequence[str], key: Path | None = None
) -> str:
    """Pack files below a folder of results, after a look whether they belong together.

    With `key`, an SSH key, the bundle is signed (see `semask.fetching.signatures.sign`).

    Returns:
        The bundle's digest, 64 hexadecimal digits.

    Raises:
        InputError: a record is damaged, weights are not those of their record, or a file is
            missing or none that a bundle has; or it cannot be signed with the key.
    """
    for name in files:
        if not FILE.fullmatch(name):
            raise InputError(f"{name}: not a file that a bundle has; leave it out")
        if not (results / name).is_file():
            raise InputError(f"{results / name}: no such file; run the stage that makes it first")
    found = {
        name: {"sha256": sha256(results / name), "bytes": (results / name).stat().st_size}
        for name in sorted(files)
    }
    check_together(results, found)
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "experiment": experiment,
        "host": socket.gethostname(),
        "made": now(),
        "code_version": code_version(),
        "files": found,
    }
    manifest["digest"] = digest_of(manifest)
    with atomically(bundle) as temporary:
        with zipfile.ZipFile(temporary, "x") as archive:
            archive.writestr(_member(MANIFEST), json.dumps(manifest, indent=1) + "\n")
            for name in found:
                with (
                    open(results / name, "rb") as source,
                    archive.open(_member(name), "w", force_zip64=True) as target,
                ):
                    shutil.copyfileobj(source, target, 2**20)
        signature = None if key is None else sign(temporary, key)
    if signature is None:
        signature_of(bundle).unlink(missing_ok=True)  # of an older bundle
    else:
        write_atomically(signature_of(bundle), signature)
    return str(manifest["digest"])


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # of no time: the same bytes from the same files
    info.external_attr = 0o644 << 16
    return info


def unpack(
    bundle: Path, folder: Path, digest: str | None = None, signers: Path | None = None
) -> dict[str, Any]:
    """Unpack a bundle into a folder of its own, all of it or nothing, and look at every file.

    What was in the folder is replaced. `digest` is the bundle's as its maker told it, `signers`
    lists those who may have signed it (see `semask.fetching.signatures.verify`), if asked for.

    Returns:
        What `bundle.json` says.

    Raises:
        InputError: the bundle is damaged, was edited, is another one than `digest` says, or holds
            records that do not belong together; or none of `signers` signed it.
    """
    if not bundle.is_file():
        raise InputError(f"{bundle}: no such file; {_REMEDY}")
    signer = None if signers is None else verify(bundle, signers)
    # always the same name: what a killed one leaves behind, the next one removes
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        extract(bundle, temporary, remedy=_REMEDY)
        try:
            if not (temporary / MANIFEST).is_file():
                raise InputError(f"has no {MANIFEST}, so it is no bundle")
            manifest = read_manifest(temporary / MANIFEST)
            if digest is not None and manifest["digest"] != digest:
                raise InputError(f"is the one with digest {manifest['digest']}, not {digest}")
            _check_files(temporary, manifest["files"])
            check_together(temporary, manifest["files"])
        except InputError as fault:
            said = str(fault).replace(f"{temporary}/", "").partition("; ")[0]
            raise InputError(f"{bundle}: {said}; {_REMEDY}") from None
        if signer is not None:
            (temporary / SIGNER).write_text(json.dumps(signer._asdict()), "utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def outline(bundle: Path) -> str:
    """Digest of the names, sizes and checksums in a bundle's list of members, read in no time.

    It tells one bundle from another whatever their times are; whether a bundle is intact is known
    when it was unpacked.
    """
    listed = _listed(bundle)
    if listed is None:
        return "not a zip archive"
    return digest_of([(of.orig_filename, of.file_size, of.CRC) for of in listed])


def members(bundle: Path) -> set[str]:
    """Names of what is in a bundle, none in a damaged one, which unpacking will say."""
    return {of.filename for of in _listed(bundle) or ()}


def _listed(bundle: Path) -> list[zipfile.ZipInfo] | None:
    try:
        with zipfile.ZipFile(bundle) as archive:
            return archive.infolist()
    except (*DAMAGE, OSError):
        return None


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a bundle's list of what is in it.

    Raises:
        InputError: it is missing, of another schema version, lacks a key, or was edited.
    """
    manifest: Any = read_json(path)
    remedy = "unpack the bundle anew"
    if isinstance(manifest, dict) and manifest.get("schema", SCHEMA) != SCHEMA:
        raise InputError(
            f"{path}: bundle of schema version {manifest['schema']!r}, this code reads {SCHEMA}; "
            f"{remedy}"
        )
    fault = first_fault(manifest, _MANIFEST)
    if fault is not None:
        raise InputError(f"{path}: {fault}; {remedy}")
    content = {key: value for key, value in manifest.items() if key != "digest"}
    if digest_of(content) != manifest["digest"]:
        raise InputError(f"{path}: was edited (its digest differs); {remedy}")
    check_texts(str(path), manifest)
    return dict(manifest)


def read_signer(folder: Path) -> Signer | None:
    """Who signed the bundle that was unpacked into a folder; None where nobody was asked for.

    Raises:
        InputError: the file that says so is damaged.
    """
    path = folder / SIGNER
    if not path.is_file():
        return None
    said = read_json(path)
    fault = first_fault(said, object_of(name=TEXT, key=TEXT))
    if fault is not None:
        raise InputError(f"{path}: {fault}; unpack the bundle anew")
    return Signer(said["name"], said["key"])


def _check_files(folder: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the files that came with those that the manifest lists."""
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    there.remove(MANIFEST)
    for name in sorted(there ^ {*listed}):
        raise InputError(f"{name} was {'added' if name in there else 'taken out'}")
    for name, known in listed.items():
        if not FILE.fullmatch(name):
            raise InputError(f"{name} is not a file that a bundle has")
        size = (folder / name).stat().st_size
        if size != known["bytes"]:
            raise InputError(f"{name} was edited (it has {size} bytes, not {known['bytes']})")
        if sha256(folder / name) != known["sha256"]:
            raise InputError(f"{name} was edited (its digest differs)")
