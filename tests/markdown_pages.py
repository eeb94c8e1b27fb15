"""What stands in a page of Markdown, as a code host reads it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


@cache
def read(name: str) -> list[Token]:
    """A page of the repository."""
    return parse((ROOT / name).read_text(encoding="utf-8"))


def flat(tokens: Iterable[Token]) -> Iterator[Token]:
    """Tokens in reading order, those within a paragraph, a heading or a link among them."""
    for token in tokens:
        yield token
        yield from flat(token.children or ())


def targets_of(tokens: Iterable[Token]) -> list[str]:
    """What links and images point at, also those written as HTML or as a bare URL."""
    targets: list[str] = []
    for token in flat(tokens):
        if token.type in ("link_open", "image"):
            targets.append(str(token.attrGet("href") or token.attrGet("src")))
        elif token.type in ("html_block", "html_inline"):
            targets += re.findall(r"""\b(?:href|src|srcset)=["']([^"']+)""", token.content)
        elif token.type == "text":
            targets += re.findall(r"\bhttps?://\S+", token.content)
    return [unquote(target) for target in targets]


def headings_of(tokens: list[Token]) -> list[str]:
    """The texts of the headings, without markup."""
    return [
        "".join(part.content for part in content.children or ())
        for token, content in pairwise(tokens)
        if token.type == "heading_open"
    ]


def anchors_of(tokens: list[Token]) -> list[str]:
    """The headings' anchors by the rule of code hosts: letters and digits of any script stay."""
    anchors = []
    seen: Counter[str] = Counter()
    for heading in headings_of(tokens):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        anchors.append(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors
