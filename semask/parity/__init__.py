"""Parity: whether a device computes what the model defines, and which module is to blame if not.

Modules: `calls` (the reference's pass, call by call), `isolated` (one call by itself), `modules`
(all of them, against a yardstick), `errors` (of each quantity), `propagated` (the whole, along its
depth), `steps` (of the optimiser, by themselves), `chance` (what is drawn at random), `data` (what
is loaded), `reference` (weights and inputs from a rule), `operators` (CANN's standard), `looks`
(all of it), `verdict` (what it shows); `subject` and `semask_looks` (SeMask-FPN on a row's device),
`anybody` (anybody's model).
"""
