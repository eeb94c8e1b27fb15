"""What the rules ask of a plan for the checkpoints that others released."""

import json
from pathlib import Path

from semask.base.errors import InputError
from semask.config.layers import assemble, variant_names
from semask.config.recipe import model_of
from semask.workflow.plan import Config, Plan


def settings(plan: Plan) -> Config:
    """How released checkpoints are scored; InputError where the experiment has none."""
    if plan.config["released"] is None:
        raise InputError(
            "config: released: null, nobody released checkpoints for this experiment; give "
            "one that has some, such as --configfile experiments/cityscapes.yaml"
        )
    return dict(plan.config["released"])


def weights(plan: Plan, variant: str) -> tuple[str, bool]:
    """File of a released checkpoint, and whether it is fetched: else it is the user's.

    InputError where the user's file is not there.
    """
    given = settings(plan).get("weights", {}).get(variant)
    if given is None:
        name = f"semask_{variant}_{plan.config['dataset']['name']}.pth"
        return f"{plan.config['downloads']['weights']}/{name}", True
    if not Path(given).is_file():
        raise InputError(f"config: released.weights.{variant}: {given}: no such file")
    return given, False


def source(plan: Plan, variant: str) -> list[str]:
    """Options that say what is known of a checkpoint that is fetched; none for the user's."""
    file, fetched = weights(plan, variant)
    return plan.published("--source", Path(file).name) if fetched else []


def config(plan: Plan, variant: str) -> str:
    """What scoring a released checkpoint reads, as JSON.

    InputError where the experiment has no such variant.
    """
    chosen = assemble(plan.layers, variant)
    row = {key: settings(plan)[key] for key in ("device", "processes", "threads")}
    scoring = ("scale", "sliding_window", "multi_scale")
    return json.dumps(
        {
            "experiment": chosen["experiment"],
            "dataset": chosen["dataset"]["name"],
            "row": row,
            "model": model_of(chosen),
            "numerics": chosen["numerics"],
            "evaluation": {key: chosen["evaluation"][key] for key in scoring},
            "workers": chosen["loader"]["workers"],
            "forbid_fallbacks": plan.forbids_fallbacks(row["device"]),
        }
    )


def records(plan: Plan) -> list[str]:
    """Records of all released checkpoints of the experiment; InputError where it has none."""
    settings(plan)
    return [f"{plan.released_folder}/{name}.json" for name in variant_names(plan.layers)]
