import json
from pathlib import Path

import pytest

from semask.model import build
from semask.optimization import build_optimizer, learning_rate


@pytest.mark.parametrize(
    ("name", "base", "ratio"),
    [
        ("ref_tiny_small_large", 1e-3, 1e-5),
        ("ref_base", 1e-3, 1e-6),
        ("ascend_small", 3e-4, 1e-6),
    ],
)
def test_learning_rate_equals_the_original(
    oracle: Path, name: str, base: float, ratio: float
) -> None:
    known = json.loads((oracle / "lr.json").read_text())[name]
    assert len(known) > 5
    for iteration, expected in known.items():
        found = learning_rate(
            int(iteration),
            base=base,
            iterations=80000,
            warmup_iterations=1500,
            warmup_ratio=ratio,
        )
        assert found == pytest.approx(expected, rel=1e-10)


def test_no_warm_up() -> None:
    rate = learning_rate(0, base=0.1, iterations=10, warmup_iterations=0, warmup_ratio=0.5)
    assert rate == 0.1


def test_groups_spare_norms_and_bias_tables_only() -> None:
    model = build("nano", 19)
    optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.05)
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    names = dict(model.named_parameters())
    assert len(decay) == len(names)
    spared = {name for name, parameter in names.items() if decay[id(parameter)] == 0}
    assert all(decay[id(names[name])] == 0.05 for name in names.keys() - spared)
    assert any("relative_position_bias_table" in name for name in spared)
    assert any(".norm1.weight" in name for name in spared)
    # batch norms, biases and gamma decay, as in the original
    for part in ("bn.weight", "bn.bias", "qkv.bias", "conv_seg.bias", "gamma"):
        assert any(name.endswith(part) for name in names)
        assert not any(name.endswith(part) for name in spared)
