"""What rules and scripts ask that computes nothing: plans, launching, supervision, progress.

Modules: `plan` and `released_plan` (what the rules ask of the config), `crossed` (of it, weights on
another row's device), `parity_memory` (of looks at devices), `signed` (keys and signatures of
bundles), `usable` (new weights), `start` and `results` (before and after a workflow), `places`
(what one lacks), `guard` (how a script ends), `options` and `json_options` (command lines,
checked), `launching`, `supervise` and `node` (the processes of a run), `head` (a Snakemake that is
warned, or comes after a killed one), `view`, `overview` and `bottom_lines` (how far everything is),
`voice` (what is said under each `--quiet`, in each language).
"""
