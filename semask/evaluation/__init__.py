"""Predictions and their scores.

Modules: `prediction` (of one image), `split` (the confusion matrix of a whole split, by all
processes), `figures` (the scores that follow from it), `scoring` (the stage, over a run's kept
weights), `released` (the authors' checkpoints), `baselines` (what can be scored without shapes),
`predictions` (saved ones), `folder` (of images without labels), `known_weights` (what a file of
weights is used as), `agreement` (with cityscapesscripts), `weight_files` (read without running
them), `drawing` (pictures).
"""
