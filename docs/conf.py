"""The Markdown of this checkout as a site, made by Sphinx: `make docs`."""

from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]

project = "semask-bench"
extensions = ["myst_parser"]

# The source folder is the checkout itself, so that links between README.md and docs/ hold in the
# site as they do on a code host. Folders are left out here, or Sphinx would walk through the data.
root_doc = "README"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "docs"]

smartquotes = False
highlight_language = "none"
myst_heading_anchors = 6

html_theme = "furo"
html_title = project
html_show_copyright = False
html_copy_source = False

# The order of the pages in the side bar. It is added here and not written into README.md, where a
# code host would show it as it stands.
SIDE_BAR = {
    "Start here": [
        "English <self>",
        "中文 <README.zh-CN>",
        "docs/from_the_port",
        "docs/from_the_port.zh-CN",
    ],
    "Run it": [
        "docs/experiments",
        "docs/own_data",
        "docs/predict",
        "docs/running",
        "docs/progress",
        "docs/devices",
        "docs/npu",
        "docs/containers",
        "docs/cluster",
        "docs/kubernetes",
        "docs/elsewhere",
        "docs/downloads",
    ],
    "Rely on it": ["docs/fault_tolerance", "docs/safety", "docs/determinism", "docs/parity"],
    "Figures": [
        "docs/report",
        "docs/protocol",
        "docs/verdict",
        "docs/grounds",
        "docs/grounds.zh-CN",
        "docs/demonstration",
        "docs/evaluation",
        "docs/throughput",
        "docs/measurements",
        "docs/cost",
        "docs/model",
    ],
    "Work on it": ["docs/weights", "docs/adding_a_data_set", "CONTRIBUTING", "CHANGELOG"],
}


def add_side_bar(app: Sphinx, page: str, source: list[str]) -> None:
    """Append a hidden table of contents to README.md, a directive of MyST for each group."""
    if page == root_doc:
        for caption, pages in SIDE_BAR.items():
            lines = ["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]
            source[0] += "\n\n" + "\n".join(lines)


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_side_bar)
