"""Data sets, label conversion, transforms and loading; knows nothing of models.

Modules: `sets` (one data set each), `streets` (scenes that are made here), `classes` (names,
colours and ids), `labels` (annotations to train ids), `manifest` (a split's files with their
digests), `transforms` (augmentation), `loading` (batches), `inputs` (bytes to what a network
takes), `preparing` (stored arrays), `reading` (images and labels from files), `label_maps` (what
was predicted for a split, in one file), `folders` (images of no data set). Its own: `decoding`,
`pairs`, `png`, `polygons`, `matlab`, `workers` (processes that load).
"""

AHEAD = 4
"""Passes of training whose images each process that loads has ready."""

IMAGES_AHEAD = 2
"""Whole images that each has ready where they are scored; of several views, one."""
