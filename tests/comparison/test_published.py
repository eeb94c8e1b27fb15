"""The list of published weights."""

import re
from pathlib import Path

import pytest

from semask.base.errors import InputError
from semask.comparison.published import read_sources
from semask.fetching.fetch import ALGORITHMS

WEIGHTS = Path(__file__).parents[2] / "published" / "weights.csv"


def test_the_shipped_list() -> None:
    sources = read_sources(WEIGHTS)
    swin = [name for name in sources if name.startswith("swin_")]
    semask = [name for name in sources if name.startswith("semask_")]
    assert (len(swin), len(semask), len(sources)) == (4, 12, 16)
    for name, source in sources.items():
        assert source.name == name
        if source.digest is not None:
            algorithm, digits = source.digest.split(":")
            length = {"md5": 32, "sha1": 40, "sha256": 64, "sha384": 96}
            assert algorithm in ALGORITHMS
            assert re.fullmatch(f"[0-9a-f]{{{length[algorithm]}}}", digits)
            assert source.digest_from
    assert {sources[name].url.rpartition("/")[2] for name in swin} == set(swin)
    assert all(re.fullmatch(r"drive:[\w-]{33}", sources[name].url) for name in semask)
    assert len({source.url for source in sources.values()}) == 16
    assert sources["swin_tiny_patch4_window7_224.pth"].size == 114342173


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("digest_from", "digest_by"),
        ("114342173", "109 MB"),
        ("semask_small_ade20k.pth", "semask_tiny_ade20k.pth"),
        (",pretrained,imagenet,small", ""),
    ],
)
def test_damaged_lists(tmp_path: Path, old: str, new: str) -> None:
    damaged = tmp_path / "weights.csv"
    damaged.write_text(WEIGHTS.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"weights\.csv: ") as caught:
        read_sources(damaged)
    assert "\n" not in str(caught.value)


def test_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_sources(tmp_path / "weights.csv")
