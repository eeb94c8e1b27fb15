"""The configuration and what it means.

Modules: `layers` (config.yaml, overlays, the command line and a variant, merged), `checks` (what
the schema cannot say), `sizes` (of batches and images), `recipe` (everything that decides what is
computed, resolved), `repeats` (a row's runs).
"""
