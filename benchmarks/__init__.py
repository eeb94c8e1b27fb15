"""Ratios against named rivals: each module is a program that prints a table.

python -m benchmarks.model, .train_step, .input_pipeline, .evaluation, .labels, .whole_run; and
.first_hour, which takes a machine with a GPU through all that is to be known of it.
"""
