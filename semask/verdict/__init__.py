"""The verdict: as accurate, as fast? From records of rows that may be compared.

Modules: `answer` (the sentence, from its grounds), `pairs` (which rows are judged, and their
grounds), `seeds` (accuracy over several seeds: equivalent, different, or how many seeds more),
`planning` (how many seeds beforehand, and their hours), `speed` (the ratio of FPS, with an
interval), `welch` (the interval of both), `field` (figures by which others accept a port).
"""
