"""What the linter has no rule for: files that others made are read as data, never run."""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SOURCES = [
    path
    for folder in ("semask", "workflow_scripts", "benchmarks", ".ci")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


def calls(path: Path) -> Iterator[tuple[str, dict[str | None, str]]]:
    """Name and keyword arguments of every call in a file, as they are written there."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            yield ast.unparse(node.func), keywords


def test_no_file_is_unpickled() -> None:
    loads = 0
    for path in SOURCES:
        for name, keywords in calls(path):
            if name == "torch.load":
                loads += 1
                assert "weights_only" in keywords, path
            assert keywords.get("weights_only", "True") == "True", path
            assert keywords.get("allow_pickle", "False") == "False", path
    assert loads >= 2
