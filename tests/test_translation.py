"""A page in Chinese, PAGE.zh-CN.md, follows its page in English.

Section by section both have the same headings (their levels), links, images, code blocks, code
spans, table rows and numbers. Only prose and the comments in code blocks are translated, so a word
for a number stays a word ("two" is 两, not 2).
"""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import pytest
from markdown_it.token import Token

from semask.verdict.answer import GROUNDS

from .markdown_pages import ROOT, anchors_of, flat, headings_of, parse, targets_of

PAGES = ("README.md", "docs/from_the_port.md", "docs/grounds.md")  # in English
NAMES = [Path(name).name for name in PAGES]
CHARACTER = "[\u3001-\u9fff\uff00-\uffef]"  # Chinese ones and their punctuation


class Section(NamedTuple):
    title: str  # with its signs, such as `## Two commands`
    level: int
    facts: Counter[str]  # what the translation must have as often, each as a phrase


def sections_of(text: str) -> list[Section]:
    """What stands before the first heading, then each heading with what follows up to the next."""
    tokens = parse(text)
    titles, anchors = headings_of(tokens), anchors_of(tokens)
    starts = [i for i, token in enumerate(tokens) if token.type == "heading_open"]
    sections = [Section("(top)", 0, facts_of(tokens[: min(starts, default=None)], anchors))]
    for title, start, end in zip(titles, starts, [*starts[1:], None], strict=True):
        level = int(tokens[start].tag[1:])
        facts = facts_of(tokens[start:end], anchors)
        sections.append(Section(f"{'#' * level} {title}", level, facts))
    return sections


def facts_of(tokens: list[Token], anchors: list[str]) -> Counter[str]:
    """Phrases for all in a section that the languages have in common."""
    facts = [f"link or image {common(target, anchors)}" for target in targets_of(tokens)]
    facts += [
        f"code block\n{without_comments(token.content)}"
        for token in flat(tokens)
        if token.type in ("code_block", "fence")
    ]
    rows = list(rows_of(tokens))
    facts += [
        f"table {table}, row {row}: numbers {' '.join(numbers_in(text))}"
        for table, row, text in rows
    ]
    # prose may say a name or a number once more in one language than in the other
    spans = {token.content for token in flat(tokens) if token.type == "code_inline"}
    facts += [f"`{span}`" for span in spans]
    in_tables = {number for _, _, text in rows for number in numbers_in(text)}
    facts += [f"number {number}" for number in {*numbers_in(text_of(tokens))} - in_tables]
    return Counter(sorted(facts))


def common(target: str, anchors: list[str]) -> str:
    """A target in words that hold in both languages."""
    if Path(target).name.replace(".zh-CN", "") in NAMES:
        return f"{target.replace('.zh-CN', '')} in either language"
    if target.startswith("#") and target[1:] in anchors:
        return f"to heading {anchors.index(target[1:]) + 1} of the page"
    return target


def without_comments(code: str) -> str:
    """Code without what follows a # at the start of a line or after a space."""
    lines = [re.sub(r"(^|\s+)#.*", "", line).rstrip() for line in code.splitlines()]
    return "\n".join(f"    {line}" for line in lines)


def text_of(tokens: list[Token]) -> str:
    return " ".join(token.content for token in flat(tokens) if token.type == "text")


def numbers_in(text: str) -> list[str]:
    return sorted(re.findall(r"[0-9]+(?:[.,][0-9]+)*", text))


def rows_of(tokens: list[Token]) -> Iterator[tuple[int, int, str]]:
    """Number of the table, number of the row, text of the row; the head is row 0."""
    table, row, start = 0, 0, 0
    for i, token in enumerate(tokens):
        if token.type == "table_open":
            table, row = table + 1, 0
        elif token.type == "tr_open":
            start = i
        elif token.type == "tr_close":
            yield table, row, text_of(tokens[start:i])
            row += 1


def differences(english: str, chinese: str) -> list[str]:
    """What to mend in a translation, a line each."""
    ours, theirs = sections_of(english), sections_of(chinese)
    if [section.level for section in ours] != [section.level for section in theirs]:
        return differences_of_headings(ours, theirs)
    lines = []
    for our, their in zip(ours, theirs, strict=True):
        place = f"{their.title} ({our.title}): "
        lines += [f"{place}lacks {fact}" for fact in (our.facts - their.facts).elements()]
        lines += [f"{place}alone has {fact}" for fact in (their.facts - our.facts).elements()]
    return lines


def differences_of_headings(ours: list[Section], theirs: list[Section]) -> list[str]:
    """Sections without their like: titles cannot be compared, what is in the sections can."""
    keys = [
        # without links to headings, which have other numbers where one is missing
        [
            (each.level, *sorted(fact for fact in each.facts if "of the page" not in fact))
            for each in sections
        ]
        for sections in (ours, theirs)
    ]
    changes = SequenceMatcher(a=keys[0], b=keys[1], autojunk=False).get_opcodes()
    return [
        f"in place of {[section.title for section in ours[a:b]]} there is "
        f"{[section.title for section in theirs[c:d]]}"
        for kind, a, b, c, d in changes
        if kind != "equal"
    ]


def in_chinese(page: str) -> str:
    return page.replace(".md", ".zh-CN.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_translation_follows(page: str) -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in (page, in_chinese(page)))
    lines = differences(english, chinese)
    if lines:
        pytest.fail(f"{in_chinese(page)} differs from {page}:\n" + "\n".join(lines), pytrace=False)


def test_every_translation_is_looked_at() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.zh-CN.md")}
    assert {"README.zh-CN.md", *found} == {in_chinese(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_no_line_ends_between_chinese_characters(page: str) -> None:
    """A browser would show the end of the line as a space."""
    text = (ROOT / in_chinese(page)).read_text("utf-8")
    paragraphs = [token.content for token in parse(text) if token.type == "inline"]
    assert re.findall(rf".*{CHARACTER}\n{CHARACTER}.*", "\n\n".join(paragraphs)) == []


@pytest.mark.parametrize("page", PAGES)
def test_emphasis_is_read_as_such(page: str) -> None:
    """Markdown sees no end of ** between a Chinese full stop and the next character."""
    tokens = parse((ROOT / in_chinese(page)).read_text("utf-8"))
    assert [
        token.content for token in flat(tokens) if token.type == "text" and "*" in token.content
    ] == []


@pytest.mark.parametrize("page", ["docs/grounds.md", "docs/grounds.zh-CN.md"])
def test_each_ground_of_the_verdict_is_explained(page: str) -> None:
    """By the name that the report has for it, in both languages."""
    titles = headings_of(parse((ROOT / page).read_text("utf-8")))[1:]
    assert re.findall("^[a-z ]+", "\n".join(titles), re.MULTILINE) == [*GROUNDS]


PAGE = """# Title
[中文](README.zh-CN.md), see [speed](#speed) and [NPU](docs/npu.md).
## Speed
With `make`, in 10 minutes:

    make   # sets up

| | mIoU |
|---|---|
| seeds 0 and 1 | 52.4, 54.5 |
"""
TRANSLATED = """# 标题
[English](README.md)，见 [NPU](docs/npu.md) 和[速度](#速度)。
## 速度
用 `make` 要 10 分钟：

    make   # 建立

| | mIoU |
|---|---|
| 种子 0、1 | 52.4, 54.5 |
"""


def test_prose_and_comments_may_be_translated() -> None:
    assert differences(PAGE, TRANSLATED) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[NPU](docs/npu.md)", "NPU", "# 标题 (# Title): lacks link or image docs/npu.md"),
        ("#速度", "#标题", "# 标题 (# Title): lacks link or image to heading 2 of the page"),
        ("    make ", "    make all", "## 速度 (## Speed): lacks code block\n    make"),
        ("`make`", "命令", "## 速度 (## Speed): lacks `make`"),
        ("10 分钟", "十分钟", "## 速度 (## Speed): lacks number 10"),
        ("54.5", "54.6", "## 速度 (## Speed): lacks table 1, row 1: numbers 0 1 52.4 54.5"),
        ("## 速度", "", "in place of ['# Title', '## Speed'] there is"),
        ("## 速度", "## 又\n## 速度", "in place of [] there is ['## 又']"),
    ],
)
def test_what_differs_is_named(old: str, new: str, line: str) -> None:
    lines = differences(PAGE, TRANSLATED.replace(old, new, 1))
    assert any(each.startswith(line) for each in lines), lines
