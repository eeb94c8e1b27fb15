"""Links and paths in the documentation hold."""

import re
from pathlib import Path

import pytest
import yaml

from .markdown_pages import ROOT, anchors_of, flat, parse, read, targets_of

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
# paths below them are files of the repository; data/, results/ and weights/ are made by running it
FOLDERS = (
    "benchmarks|docs|envs|experiments|profiles|published|rules|schemas|semask|tests"
    "|workflow_scripts"
)
# what a page tells its reader to write
TO_BE_WRITTEN = {"semask/data/sets/NAME.py", "semask/data/sets/camvid.py"}
SCHEMA = yaml.safe_load((ROOT / "schemas/config.schema.yaml").read_text(encoding="utf-8"))
FILES = (".csv", ".json", ".md")  # `table.csv` is no key of `table`

PATH = re.compile(rf"(?<![\w./:-])(?:{FOLDERS})/(?:[\w./*-]|\{{[\w,]+\}})*(?<=[\w}}])")
MODULE = re.compile(r"python -m ((?:semask|workflow_scripts|benchmarks)(?:\.\w+)+)")
# printable ASCII, so that a Chinese full stop right after a URL is not taken for a part of it
URL = re.compile(r"https://[a-z0-9.-]+(:[0-9]+)?(/[!-~]*)?(?<![.,;:!?)])")


def fault_of(name: str, target: str) -> str | None:
    """Why a link or an image of a page does not hold."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None if URL.fullmatch(target) else "not https, or more than a URL"
    path, _, anchor = target.partition("#")
    file = Path(ROOT, name).parent.joinpath(path).resolve() if path else ROOT / name
    if not file.is_relative_to(ROOT):
        return "leaves the repository"
    # nor a folder: the site that `make docs` builds has no page for it
    if not file.is_file():
        return "no such file"
    if anchor and (file.suffix != ".md" or anchor not in anchors_of(read(str(file)))):
        return "no such heading"
    return None


def code_of(name: str) -> str:
    """Code spans and blocks of a page, each starting a line."""
    kinds = ("code_inline", "code_block", "fence")
    return "\n".join(token.content for token in flat(read(name)) if token.type in kinds)


def missing_files(name: str) -> list[str]:
    """What the code of a page names as a file of the repository and is none."""
    code = code_of(name)
    paths = PATH.findall(code) + [f"{name.replace('.', '/')}.py" for name in MODULE.findall(code)]
    patterns = {re.sub(r"\{[\w,]+\}", "*", path) for path in paths}
    return sorted(path for path in patterns - TO_BE_WRITTEN if not any(ROOT.glob(path)))


def missing_targets(name: str) -> list[str]:
    """What a page names as a target of make and is none."""
    targets = set(re.findall(r"^make ([a-z][a-z-]*)", code_of(name), re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return sorted(targets - set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)))


def missing_keys(name: str) -> list[str]:
    """What a page names as a key of the config, such as `training.epochs`, and is none."""
    keys = re.findall(r"^([a-z]\w*(?:\.[a-z]\w*)+)(?::.*)?$", code_of(name), re.MULTILINE)
    candidates = {key for key in keys if key.split(".")[0] in SCHEMA["properties"]}
    return sorted(key for key in candidates if not key.endswith(FILES) and not is_key(key))


def is_key(key: str) -> bool:
    node = SCHEMA
    for part in key.split("."):
        node = node.get("items", node)
        node = node.get("properties", {}).get(part, node.get("additionalProperties"))
        if not node:
            return False
    return True


@pytest.mark.parametrize("name", PAGES)
def test_links_and_images_hold(name: str) -> None:
    faults = {target: fault_of(name, target) for target in targets_of(read(name))}
    lines = [f"{target}: {fault}" for target, fault in faults.items() if fault]
    assert not lines, f"{name}:\n" + "\n".join(lines)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "CHANGELOG.md"])  # the past
def test_what_is_named_exists(name: str) -> None:
    lines = [f"{path}: no such file" for path in missing_files(name)]
    lines += [f"{key}: no such key of the config" for key in missing_keys(name)]
    lines += [f"make {target}: no such target" for target in missing_targets(name)]
    assert not lines, f"{name}:\n" + "\n".join(lines)


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[str] = set()
    new = {"README.md"}
    while new:
        name = new.pop()
        reached.add(name)
        paths = {target.partition("#")[0] for target in targets_of(read(name))}
        files = {Path(ROOT, name).parent.joinpath(path).resolve() for path in paths}
        new |= {page for page in PAGES if ROOT / page in files} - reached
    assert {page for page in PAGES if page.startswith("docs/")} - reached == set()


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("npu.md", None),
        ("../published/weights.csv", None),
        ("#interruptions", None),
        ("npu.md#1-driver-firmware-cann", None),
        ("https://pre-commit.com", None),
        ("npu.md#drivers", "no such heading"),
        ("#drivers", "no such heading"),
        ("../published", "no such file"),
        ("nothing.md", "no such file"),
        ("../../elsewhere.md", "leaves the repository"),
        ("http://pre-commit.com", "not https, or more than a URL"),
        ("https://pre-commit.com.", "not https, or more than a URL"),
        ("https://pre-commit.com/，", "not https, or more than a URL"),
    ],
)
def test_faults_of_links(target: str, fault: str | None) -> None:
    assert fault_of("docs/kubernetes.md", target) == fault


def test_anchors_are_those_of_code_hosts() -> None:
    text = "# What happens when …\n## `a_b`: **GPU, NPU**\n## GPU 与 NPU：速度\n## 速度\n## 速度\n"
    anchors = ["what-happens-when-", "a_b-gpu-npu", "gpu-与-npu速度", "速度", "速度-1"]
    assert anchors_of(parse(text)) == anchors
