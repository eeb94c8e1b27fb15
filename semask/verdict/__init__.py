"""The verdict: as accurate, as fast? From records of rows that may be compared.

Modules: `seeds` (accuracy over several seeds: equivalent, different, or how many seeds more),
`planning` (how many seeds beforehand, and their hours), `speed` (the ratio of FPS, with an
interval), `field` (figures by which others accept a port).
"""
