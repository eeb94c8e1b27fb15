"""Training: the loop, a step, what is kept, and what is told of it.

Modules: `run` (what to compute and where), `loop`, `stepping` (one batch), `optimization` (AdamW
and its schedule), `keeping` (checkpoints and weights), `workdir` (an unfinished run's folder),
`run_log` and `log_file` (written, read), `run_progress` (how far a run is), `health` (whether its
numbers are sound), `measurement` (FPS), `run_record`; `profiling` and `part_times` (where a step's
time goes).
"""
