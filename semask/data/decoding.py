"""Decoding of images and label images: wholly, so that damage is found before a run reads them."""

import io
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from semask.base.errors import InputError
from semask.data.png import whole_png_size

_PNG: Final = b"\x89PNG"
# bits per sample and colour type in the header: Pillow also shows 16-bit RGB as "RGB"
_GREY, _RGB = bytes((8, 0)), bytes((8, 2))
# what an image is that is converted, by Pillow's mode
_KINDS: Final = {
    **{"1": "greyscale", "L": "greyscale", "I": "greyscale", "I;16": "greyscale"},
    **{"LA": "greyscale with alpha", "P": "indexed", "RGBA": "RGB with alpha", "RGB": "RGB"},
}


def decode_png(data: bytes, path: Path, mode: str | None = None) -> Image.Image:
    """Decodes a whole PNG, checksums included; `path` is only named in messages.

    The mode is "L" for a label image: the values of 8-bit greyscale, or the indices, not the
    colours, of an indexed PNG of any depth. None is for any, as Pillow has it. InputError where it
    is damaged, cut short, no PNG, or holds no label ids.
    """
    image = _decode(data, path, "PNG")
    if mode is None or data[24:26] == _GREY:
        return image
    if image.mode == "P":
        _refuse_doubtful_indices(image, path)
        return Image.frombytes("L", image.size, image.tobytes())
    if image.mode in ("RGB", "RGBA"):
        colours = image.convert("RGB").getcolors(image.width * image.height) or []
        raise InputError(
            f"{path}: an RGB image of {len(colours)} colours, and colours are no ids; save the ids "
            "as an 8-bit greyscale or indexed PNG"
        )
    raise InputError(f"{path}: not an 8-bit greyscale or indexed PNG; save the ids as one")


def check_image(data: bytes, path: Path) -> tuple[tuple[int, int], str | None]:
    """Looks at a whole image of a data set; `path` tells the format.

    What is called .png must be one. Else the data are what counts: COCO holds a few PNG files that
    are called .jpg, and readers of images look at the data, too.

    Gives width and height, and what kind of image is converted to 8-bit RGB when it is read, None
    where it is that. InputError where it is damaged, cut short, of another format, or has
    transparent pixels.
    """
    is_png = path.suffix.lower() == ".png" or data.startswith(_PNG)
    # whole by its chunks and checksums alone, else the decoder is to say what it is
    if is_png and data[24:26] == _RGB and (size := whole_png_size(data)):
        return size, None
    image = _decode(data, path, "PNG" if is_png else "JPEG")
    _refuse_transparency(image, data, path)
    return image.size, _kind(image, data)


def decode_rgb(data: bytes, path: Path) -> npt.NDArray[np.uint8] | None:
    """Pixels of an image that is not 8-bit RGB, as Pillow converts them: RGB, uint8 (H, W, 3).

    Of 16 bits the high byte is taken. An orientation in its metadata is left alone. None where a
    JPEG is RGB or greyscale or it is no PNG and no JPEG: decoders agree on those. InputError for a
    PNG that is damaged or has transparent pixels.
    """
    if not data.startswith(_PNG):
        with suppress(Exception):  # what is no JPEG, another decoder is to say
            if Image.open(io.BytesIO(data), formats=["JPEG"]).mode == "CMYK":
                return np.asarray(_decode(data, path, "JPEG").convert("RGB"))
        return None
    image = _decode(data, path, "PNG")
    _refuse_transparency(image, data, path)
    if image.mode == "RGB":
        return np.asarray(image)
    if image.mode in ("RGBA", "P"):
        # an indexed image by way of RGBA: of a transparency that it has, Pillow would warn
        return np.asarray(image.convert("RGBA").convert("RGB"))
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
    else:
        grey = np.asarray(image.convert("L"))
    return np.repeat(grey[:, :, None], 3, axis=2)


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


def _kind(image: Image.Image, data: bytes) -> str | None:
    """What an image is in words; None for 8-bit RGB."""
    if image.mode == "CMYK":
        return "YCCK" if image.info.get("adobe_transform") == 2 else "CMYK"
    kind = _KINDS[image.mode]
    if data.startswith(_PNG):
        if data[24] == 16:
            return f"16-bit {kind}"
        if kind == "RGB" and "transparency" in image.info:
            return "RGB with alpha"
    return None if kind == "RGB" else kind


def _refuse_transparency(image: Image.Image, data: bytes, path: Path) -> None:
    # readers of COCO's PNG files that are called .jpg take the colours beneath
    if path.suffix.lower() == ".png" and _is_transparent(image, data):
        raise InputError(
            f"{path}: not an 8-bit RGB PNG: it has transparent pixels, and what lies behind them "
            "is not known; save it as one"
        )


def _is_transparent(image: Image.Image, data: bytes) -> bool:
    """Whether a pixel of a PNG is not opaque."""
    if image.mode in ("RGBA", "LA", "P"):
        return image.convert("RGBA").getchannel("A").getextrema()[0] != 255
    key: Any = image.info.get("transparency")
    if key is None:
        return False
    # one grey, or one colour, is transparent; in the file's own depth, which Pillow changes
    if image.mode == "RGB":
        colour = [sample >> 8 for sample in key] if data[24] == 16 else key
        return bool((np.asarray(image) == np.array(colour)).all(axis=2).any())
    if data[24] == 16:
        return bool((np.asarray(image) == key).any())
    return bool((np.asarray(image.convert("L")) == key * (255 // (2 ** data[24] - 1))).any())


def _refuse_doubtful_indices(image: Image.Image, path: Path) -> None:
    """Refuses indices of which greyscale values were made, by a program that makes files small.

    All colours of its palette are greys then, each used one of its own, other than the indices.
    Annotation tools give their classes colours.
    """
    palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    greys = palette[:, 0]
    if (palette != greys[:, None]).any():
        return
    used = [i for i, count in enumerate(image.histogram()) if count and i < len(greys)]
    values = greys[used].tolist()
    if values != used and len(set(values)) == len(used):
        index = next(i for i in used if greys[i] != i)
        raise InputError(
            f"{path}: an indexed PNG of greys, where index {index} is grey {greys[index]}: either "
            "could be the id; save the ids as an 8-bit greyscale PNG"
        )


def check_size(label: tuple[int, int], image: tuple[int, int] | None, path: Path) -> None:
    """Raises InputError where an annotation, named `path`, and its image differ in (width, height).

    None for a size that is not known.
    """
    if image is None or label == image:
        return
    sizes = f"the annotation is {label[0]}x{label[1]} but its image {image[0]}x{image[1]}"
    if label == image[::-1]:
        raise InputError(
            f"{path}: {sizes} as its pixels are stored: perhaps it was made of the image as an "
            "EXIF orientation shows it; turn the annotation, or store the image turned"
        )
    raise InputError(f"{path}: {sizes}; fetch the pair again")
