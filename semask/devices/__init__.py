"""The only package that knows CUDA from CANN: everything else says cpu, gpu or npu.

Modules: `presence` (which devices there are, and taking some), `setup` (binding a process to its
device), `computing` (precision, memory, placement), `cpu_fallbacks` (operators that an NPU lacks),
`description` (names and versions), `peak` and `data_sheets` (what a device can do at most),
`variables` (of the environment, that change figures), `conditions` (what else goes on while a speed
is measured: `sensors` of accelerators, and which `disturbances` make it say little), `distributed`
and `processes` (those of a run, and what they are), `observed` (which attention ran), `rows`
(whether they are a row's), `progress` (where they are, and an end to runs that stand still),
`launched` (which launcher's they are), `addresses` (where they meet), `slurm` (what a job was
given), `locks`, `error_stream`, `timeline`, `planted` (faults, in demonstrations), and `backends`,
the table of what is behind the three names.
"""
