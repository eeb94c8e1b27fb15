"""Settings drawn at random: refused in one line that names a key, or resolved for every row."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.config.checks import check_config
from semask.config.layers import assemble, read_layer
from semask.config.recipe import resolve

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schemas" / "config.schema.yaml"
BASE = read_layer(ROOT / "config.yaml")

NUMBERS = st.one_of(
    st.integers(-1, 9),
    st.sampled_from([16, 100, 2**15, 2**31, 2**53, 2**63, 10**30]),
    st.sampled_from([0.0, 1e-300, 0.5, 1.0, 60.0, 1e5, 1e300]),
    st.none(),
)
SIZES = st.lists(NUMBERS, min_size=2, max_size=2)
LISTS = st.lists(NUMBERS, min_size=1, max_size=3)
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "training.iterations": NUMBERS,
    "training.epochs": NUMBERS,
    "training.evaluate_every": NUMBERS,
    "training.batch.size": NUMBERS,
    "training.batch.per": st.sampled_from(["run", "device"]),
    "training.batch.micro_batch": NUMBERS,
    "training.learning_rate": NUMBERS,
    "training.weight_decay": NUMBERS,
    "training.warmup_iterations": NUMBERS,
    "training.warmup_ratio": NUMBERS,
    "training.hard_pixels": NUMBERS,
    "training.augmentation.scale": SIZES,
    "training.augmentation.crop": SIZES,
    "training.augmentation.ratio_range": st.none() | SIZES,
    "training.augmentation.ratios": st.none() | LISTS,
    "training.augmentation.cat_max_ratio": NUMBERS,
    "training.augmentation.flip": NUMBERS,
    "model.drop_path": NUMBERS,
    "loader.workers": NUMBERS,
    "performance.iterations": NUMBERS,
    "performance.warmup_iterations": NUMBERS,
    "evaluation.scale": SIZES,
    "parity.seed": NUMBERS,
    "rows": st.lists(
        st.fixed_dictionaries(
            {
                "device": st.sampled_from(["cpu", "gpu"]),
                "processes": NUMBERS,
                "threads": NUMBERS,
                "modes": st.just(["full"]),
                "seeds": LISTS,
            }
        ),
        min_size=1,
        max_size=2,
    ),
}


@st.composite
def overlays(draw: st.DrawFn) -> dict[str, Any]:
    """One to three keys of the config with values that somebody might give them."""
    overlay: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from([*DRAWN]), min_size=1, max_size=3, unique=True)):
        *parents, name = key.split(".")
        place = overlay
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = draw(DRAWN[key])
    return overlay


def leaves(overlay: dict[str, Any]) -> list[str]:
    return [
        name for key, value in overlay.items()
        for name in ([key] if not isinstance(value, dict) else leaves(value))
    ]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(overlays())
def test_what_passes_the_check_is_resolved_for_every_row(overlay: dict[str, Any]) -> None:
    config = assemble([BASE, overlay])
    try:
        check_config(config, SCHEMA)
    except InputError as fault:
        said = str(fault)
        assert said.startswith("config: ")
        assert "\n" not in said
        # what is said is said of a key that was given, or of one that it has to do with
        assert any(name in said for name in (*leaves(overlay), "training.", "performance.")), said
        return
    parts = {**config, "dataset": "streets", "model": {**config["model"]}}
    del parts["model"]["pretrained"]
    for row in config["rows"]:
        recipe = resolve(parts, mode="full", processes=row["processes"], training_images=240)
        assert isinstance(recipe.training.iterations, int)
        assert recipe.training.global_batch >= row["processes"]
        for seed in row["seeds"]:
            assert seed * 1000 + row["processes"] < 2**63
