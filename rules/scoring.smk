"""What the rules that score weights ask, for each run: files, and how it is scored.

Rules and functions do not stand in one file.
"""


def get_scoring_of(wildcards):
    """How a run's weights are scored."""
    row = get_present_row_of("full/seed{seed}/evaluate.json")(wildcards)
    multi_scale = config["evaluation"]["multi_scale"]
    told = {"processes": row["processes"], "multi_scale": multi_scale}
    return PLAN.scoring_settings(wildcards.device, told)


get_weights_of = told(lambda wildcards: crossed.weights_of(PLAN, wildcards.of))


def get_files_of(wildcards):
    """The run's files, or, of those of a bundle, which are no outputs, the bundle's list of them."""
    weights = get_weights_of(wildcards)
    if weights.bundle is not None:
        return local(str(IMPORTED).format(bundle=weights.bundle))
    run = f"{RESULTS}/{weights.row}/full/seed{wildcards.seed}"
    return [f"{run}/{name}" for name in crossed.FILES]


def get_options_of(wildcards, input):
    """Evaluation's record, weights and label maps, or the copies that a storage has, as options."""
    weights = get_weights_of(wildcards)
    if weights.bundle is None:
        paths = [*input.of]
    else:
        run = Path(str(input.of)).parent / f"{weights.row}/full/seed{wildcards.seed}"
        paths = [str(run / name) for name in crossed.FILES]
    options = ("--evaluate-record", "--best", "--label-maps")
    return [word for pair in zip(options, paths) for word in pair]


def get_scoring_of_cross(wildcards):
    """How the weights are scored on this row's device."""
    record = f"cross/{wildcards.of}/seed{wildcards.seed}.json"
    row = as_recorded(get_present_row_of(record)(wildcards))
    return PLAN.scoring_settings(wildcards.device, row)
