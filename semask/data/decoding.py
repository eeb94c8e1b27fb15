"""Decoding of images and label images: wholly, so that damage is found before a run reads them."""

import io
from pathlib import Path

from PIL import Image

from semask.base.errors import InputError
from semask.data.png import whole_png_size

# bits per sample and colour type in the header: Pillow also shows 16-bit RGB as "RGB"
_DEPTH_AND_COLOUR = {"L": bytes((8, 0)), "RGB": bytes((8, 2))}


def decode_png(data: bytes, path: Path, mode: str | None = None) -> Image.Image:
    """Decodes a whole PNG, checksums included; `path` is only named in messages.

    The mode is to be "RGB" or "L" with 8 bits per channel; None for any.

    Raises:
        InputError: the file is damaged, cut short, no PNG, or of another mode.
    """
    image = _decode(data, path, "PNG")
    if mode is not None and data[24:26] != _DEPTH_AND_COLOUR[mode]:
        wanted = {"L": "greyscale", "RGB": "RGB"}[mode]
        raise InputError(f"{path}: not an 8-bit {wanted} PNG; save it as one")
    return image


def check_image(data: bytes, path: Path) -> tuple[int, int]:
    """Width and height of an image of a data set that is whole; `path` tells the format.

    PNG must be 8-bit RGB. JPEG may also be grey, and the data are what counts: COCO holds a few
    PNG files, of any mode, that are called .jpg, and readers of images look at the data, too.

    Raises:
        InputError: the file is damaged, cut short, of another format or mode.
    """
    if path.suffix.lower() == ".png":
        # 8-bit RGB by its header, else the decoder is to say what it is
        is_rgb = data[24:26] == _DEPTH_AND_COLOUR["RGB"]
        return (is_rgb and whole_png_size(data)) or decode_png(data, path, "RGB").size
    return _decode(data, path, "PNG" if data.startswith(b"\x89PNG") else "JPEG").size


def _decode(data: bytes, path: Path, kind: str) -> Image.Image:
    try:
        # verify() checks every chunk's CRC, which decoding alone does not, and ends the object.
        if kind == "PNG":
            Image.open(io.BytesIO(data), formats=[kind]).verify()
        image = Image.open(io.BytesIO(data), formats=[kind])
        image.load()
    # Pillow reports damage by half a dozen types, SyntaxError and struct.error among them.
    except Exception as error:
        reason = " ".join(str(error).split()).replace(" <_io.BytesIO object", "").split(" at 0x")[0]
        raise InputError(
            f"{path}: not a decodable {kind} ({reason}); fetch or make it again"
        ) from None
    return image


def check_size(label: tuple[int, int], image: tuple[int, int] | None, path: Path) -> None:
    """Checks that an annotation, named `path`, has its image's size; None: not known.

    Raises:
        InputError: the sizes, (width, height) in pixels, differ.
    """
    if image is not None and label != image:
        raise InputError(
            f"{path}: the annotation is {label[0]}x{label[1]} but its image {image[0]}x{image[1]}; "
            "fetch the pair again"
        )
