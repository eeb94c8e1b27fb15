"""Data sets, label conversion, transforms and loading; knows nothing of models."""
