"""Rows beside each other: measured here, measured elsewhere, published.

Modules: `rows`, `beside_published`, `ratios` (NPU over GPU, and what keeps rows from being
compared), `published` (figures with their sources), `bundle`, `bundled` (a look at what is in it)
and `imported` (rows that travel), `recomputed` and `crossed` (figures that are not believed),
`what_ran` (what rows had otherwise), `cost` (what an experiment takes).
"""

FORWARDS_PER_STEP = 3
"""Products of a training step in those of its forward pass: backward, each has two factors, and a
gradient for both."""
