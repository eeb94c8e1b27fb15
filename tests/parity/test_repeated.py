"""What is run twice: a device whose last bits come and go is told of, and not accused."""

from torch import Tensor, nn

from semask.parity.verdict import SHOWN, answer

from .conftest import Look, statuses

ACT = "backbone.layers.0.blocks.0.mlp.act"


class Wavering(nn.GELU):
    """Every other time its results are those in the next last place."""

    times = 0

    def forward(self, x: Tensor) -> Tensor:
        self.times += 1
        found = super().forward(x)
        return found * (1 + 2**-23) if self.times % 2 else found


def waver(model: nn.Module, within: str = "") -> None:
    parent, _, name = f"{within}{ACT}".rpartition(".")
    setattr(model.get_submodule(parent), name, Wavering())


def test_other_bits_are_an_observation(look: Look, shallow: None) -> None:
    found = look(
        model=lambda model: waver(model, "network."),
        stepper=lambda stepper: waver(stepper.model),
        size=(32, 32),
        steps=1,
    )
    modules, steps = (found[f"semantics: {of}"] for of in ("modules", "steps"))
    assert statuses(modules) == {}
    assert [of["path"] for of in modules["modules"] if not of["bitwise"]] == [f"network.{ACT}"]
    assert modules["unequal"][0] == f"network.{ACT}"
    assert "gradient of network.backbone.patch_embed.proj.weight" in modules["unequal"]
    assert "gradients of step 31" in steps["unequal"]
    assert {answer(of).answer for of in (modules, steps)} == {SHOWN}


def test_equal_bits_are_told_too(look: Look, shallow: None) -> None:
    found = look(size=(32, 32), steps=1)
    assert [of["unequal"] for of in found.values()] == [[], []]
