"""Rows beside each other: measured here, measured elsewhere, published.

Modules: `rows`, `beside_published`, `ratios` (NPU over GPU, and what keeps rows from being
compared), `published` (figures with their sources), `bundle` and `imported` (rows that travel),
`cost` (what an experiment takes).
"""
