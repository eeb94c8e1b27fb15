"""Rows measured in one checkout join the table of another through a bundle."""

from collections.abc import Callable

import pandas as pd
import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow


def test_a_bundle_joins_the_table_of_another_checkout(
    copy_of_finished: Callable[[], Checkout],
) -> None:
    there, here = copy_of_finished(), copy_of_finished()
    printed = there.snakemake("bundle")
    digest = printed.partition("files, digest ")[2].split()[0]
    bundle = there.folder / "results/bundle.zip"
    here.configure({"imports": {"other_site": {"file": str(bundle), "digest": digest}}})
    assert here.planned() == {"unpack": 1, "table": 1}
    here.snakemake()
    table = pd.read_csv(here.folder / "results/table.csv")
    measured = table[table["kind"] == "measured"]
    assert measured["name"].tolist() == ["CPU-1P", "CPU-2P", "CPU-1P", "CPU-2P"]
    assert measured["apart"].isna().all()
    assert here.planned() == {}

    text = (here.folder / "results/table.md").read_text()
    whole = bundle.read_bytes()
    bundle.write_bytes(whole.replace(b'"miou"', b'"mioU"', 1))
    printed = here.snakemake(ok=False)
    assert "evaluate.json" in printed or "bundle.zip" in printed
    bundle.write_bytes(whole)
    here.snakemake()
    assert (here.folder / "results/table.md").read_text() == text
