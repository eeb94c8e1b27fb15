"""Pictures within a page."""

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image

from semask.base.errors import InputError

_WIDTH = 1400  # pixels, of a screen that a page is read on
_HEIGHT = 16383  # most that WebP has


def embedded(path: Path) -> dict[str, Any]:
    """A picture as a page holds it: data (a data URI of WebP), width and height (pixels).

    Raises:
        InputError: the file is not an image that can be read.
    """
    made = io.BytesIO()
    try:
        with Image.open(path) as image:
            shown = image.convert("RGB")
    except (OSError, SyntaxError) as fault:
        raise InputError(
            f"{path}: cannot be read as an image ({fault}); delete it, or the whole folder of an "
            "imported bundle, and run snakemake again"
        ) from fault
    shown.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    shown.save(made, "WEBP", quality=85)
    data = base64.b64encode(made.getvalue()).decode()
    return {"data": f"data:image/webp;base64,{data}", "width": shown.width, "height": shown.height}
