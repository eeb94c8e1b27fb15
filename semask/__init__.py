"""SeMask-FPN: model, data, training, evaluation and the comparison table."""

__version__ = "0.1.0"
