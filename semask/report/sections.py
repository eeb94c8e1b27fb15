"""The sections of the report's page, without what drawing them needs."""

TITLES = {
    "parity": "Parity: what the devices compute",
    "cross": "Same weights, two devices",
    "curves": "Loss and mIoU",
    "classes": "IoU per class",
    "difference": "NPU − GPU per class",
    "confusion": "Confusion matrix",
    "speed": "FPS and its spread",
    "time": "Where the time goes",
    "profile": "Where a step's time goes",
    "scaling": "Scaling efficiency",
    "memory": "Memory",
    "predictions": "Predictions and errors",
    "facts": "The model's facts",
}
"""The sections after the table, by the name of their caption and of their plot's file."""

PLOTS = tuple(name for name in TITLES if name not in ("cross", "predictions", "profile", "facts"))

CAPTIONS = (*TITLES, "environment")
"""What has a text in `report/`."""
