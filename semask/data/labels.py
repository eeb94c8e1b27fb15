"""Cityscapes annotations to label images: polygons → label ids → train ids, one city at a time.

Label images equal those of cityscapesscripts' `json2labelImg` ("ids" and "trainIds"), pixel by
pixel: objects are painted in file order with Pillow's polygon fill, on a background of 0.
"""

import hashlib
import io
import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import PIL
from PIL import Image

from semask.data import classes, polygons
from semask.data.classes import CITYSCAPES_CLASSES, CITYSCAPES_LABELS, CITYSCAPES_TRAIN_IDS, IGNORE
from semask.data.polygons import draw_polygons, read_polygons
from semask.errors import InputError
from semask.files import atomically, digest_of, read_json, sha256, write_atomically

IMAGE: Final = "_leftImg8bit.png"
POLYGONS: Final = "_gtFine_polygons.json"
LABEL_IDS: Final = "_gtFine_labelIds.png"
TRAIN_IDS: Final = "_gtFine_labelTrainIds.png"
STATE: Final = ".converted.json"

_KNOWN_IDS: Final = frozenset(label.id for label in CITYSCAPES_LABELS)


def to_train_ids(label_ids: Image.Image, path: Path) -> Image.Image:
    """Maps label ids to train ids, both of mode "L"; `path` is only named in the message.

    Raises:
        InputError: a value is not in the Cityscapes label table.
    """
    unknown = [i for i, n in enumerate(label_ids.histogram()) if n and i not in _KNOWN_IDS]
    if unknown:
        ids = ", ".join(map(str, unknown[:10]))
        raise InputError(
            f"{path}: label id {ids} is not in the Cityscapes label table (0 to 33); "
            "map these pixels to a known id, 0 to ignore them"
        )
    return label_ids.point(CITYSCAPES_TRAIN_IDS.tolist())


def decode_png(data: bytes, path: Path, mode: str) -> Image.Image:
    """Decodes a whole PNG, checksums included; `path` is only named in messages.

    Args:
        data: the bytes of the file.
        path: where they are from.
        mode: "RGB" or "L", 8 bits per channel.

    Raises:
        InputError: the file is damaged, cut short, no PNG, or of another mode.
    """
    try:
        # verify() checks every chunk's CRC, which decoding alone does not, and ends the object.
        Image.open(io.BytesIO(data), formats=["PNG"]).verify()
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
    # Pillow reports damage by half a dozen types, SyntaxError and struct.error among them.
    except Exception as error:
        reason = " ".join(str(error).split()).replace(" <_io.BytesIO object", "").split(" at 0x")[0]
        raise InputError(
            f"{path}: not a decodable PNG ({reason}); fetch or make it again"
        ) from None
    # From the header, as Pillow also shows 16-bit RGB as "RGB": bits per sample, colour type.
    if data[24:26] != bytes((8, {"L": 0, "RGB": 2}[mode])):
        wanted = {"L": "greyscale", "RGB": "RGB"}[mode]
        raise InputError(f"{path}: not an 8-bit {wanted} PNG; save it as one")
    return image


class _Pair(NamedTuple):
    image: Path
    source: Path  # polygons or label ids
    stem: str
    out: Path


def _is_current(pair: _Pair, entry: dict[str, Any]) -> bool:
    """Whether sources and outputs are as an earlier run left them, by content."""
    files = {pair.image: entry["image_sha256"], pair.source: entry["source_sha256"]}
    files |= {pair.out / name: digest for name, digest in entry["outputs"].items()}
    if entry["source"] != pair.source.name:
        return False
    try:
        return all(sha256(path) == digest for path, digest in files.items())
    except OSError:
        return False


def _convert_pair(pair: _Pair) -> tuple[dict[str, Any] | None, list[str]]:
    """Converts one annotation: its entry in the state file, or what is wrong, one line each."""
    try:
        image_bytes, source_bytes = pair.image.read_bytes(), pair.source.read_bytes()
    except OSError as error:
        return None, [f"{error.filename}: cannot be read ({error.strerror}); check or remove it"]
    entry: dict[str, Any] = {
        "image_sha256": hashlib.sha256(image_bytes).hexdigest(),
        "source": pair.source.name,
        "source_sha256": hashlib.sha256(source_bytes).hexdigest(),
    }

    problems, size = [], None
    try:
        size = decode_png(image_bytes, pair.image, "RGB").size
    except InputError as error:
        problems.append(str(error))
    try:
        images = _label_images(source_bytes, pair.source, size)
    except InputError as error:
        problems.append(str(error))
    if problems:
        return None, problems

    entry["outputs"] = {}
    for suffix, image in images.items():
        output = pair.out / f"{pair.stem}{suffix}"
        with atomically(output) as temporary:
            image.save(temporary)
        entry["outputs"][output.name] = sha256(output)
    train_ids = images[TRAIN_IDS]
    counts = train_ids.histogram()
    entry["label_sha256"] = hashlib.sha256(train_ids.tobytes()).hexdigest()
    entry["width"], entry["height"] = train_ids.size
    entry["pixels"] = [*counts[: len(CITYSCAPES_CLASSES)], counts[IGNORE]]
    return entry, []


def _label_images(data: bytes, path: Path, size: tuple[int, int] | None) -> dict[str, Image.Image]:
    """The images to write by suffix; `size` (width, height) is that of the image, if known."""
    if path.name.endswith(LABEL_IDS):
        label_ids = decode_png(data, path, "L")
        _check_size(label_ids.size, size, path)
        return {TRAIN_IDS: to_train_ids(label_ids, path)}
    shapes = read_polygons(data, path)
    # Before painting: a wrong size could ask for more memory than there is.
    _check_size((shapes.width, shapes.height), size, path)
    if size is None:
        return {}
    label_ids = draw_polygons(shapes)
    return {TRAIN_IDS: to_train_ids(label_ids, path), LABEL_IDS: label_ids}


def _check_size(label: tuple[int, int], image: tuple[int, int] | None, path: Path) -> None:
    if image is not None and label != image:
        raise InputError(
            f"{path}: the annotation is {label[0]}x{label[1]} but its image {image[0]}x{image[1]}; "
            "fetch the pair again"
        )


def convert_city(
    root: Path, split: str, city: str, out: Path, processes: int = 1
) -> dict[str, Any]:
    """Makes the train-id images of one city and returns the city's manifest.

    Reads `root/leftImg8bit/<split>/<city>/*_leftImg8bit.png` and, for each, the polygons or, where
    there are none, the label ids in `root/gtFine/<split>/<city>`. Writes
    `out/<split>/<city>/*_gtFine_labelTrainIds.png`, and `*_gtFine_labelIds.png` when made from
    polygons. Files whose sources and outputs are as an earlier run left them are not converted
    again; outputs without a source are removed. Nothing is written below `root`.

    Args:
        root: the data set, with `leftImg8bit` and `gtFine` in it.
        split: "train", "val" or "test".
        city: a folder name within the split.
        out: folder of the converted labels, outside of `root`.
        processes: how many processes convert files (1: this one).

    Returns:
        {"split", "city", "files": [{"image", "image_sha256", "label", "label_sha256", "width",
        "height"}, …], "pixels": [count per train id 0 … 18, count of ignored pixels]}. Image paths
        are relative to `root`, label paths to `out`. `image_sha256` is of the file, `label_sha256`
        of the train ids, row by row: PNG files differ with the compression library, labels do not.

    Raises:
        InputError: there are no images, or some files are unusable: one line for each of them.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{out}: lies within the data set {root}; choose a folder outside of it")
    image_folder, label_folder = root / "leftImg8bit" / split / city, root / "gtFine" / split / city
    images = _by_stem(image_folder, IMAGE)
    if not images:
        raise InputError(
            f"{image_folder}: no *{IMAGE} in it; check the path of the data set, split and city"
        )
    # Where both are there, the polygons win.
    sources = _by_stem(label_folder, LABEL_IDS) | _by_stem(label_folder, POLYGONS)
    problems = [
        f"{path}: no {label_folder / (stem + POLYGONS)} or {LABEL_IDS} for it; "
        "fetch the annotation or remove the image"
        for stem, path in images.items()
        if stem not in sources
    ] + [
        f"{path}: no image {image_folder / (stem + IMAGE)}; fetch it or remove the annotation"
        for stem, path in sources.items()
        if stem not in images
    ]

    folder = out / split / city
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [
        _Pair(path, sources[stem], stem, folder) for stem, path in images.items() if stem in sources
    ]
    # Current files are found here rather than in the processes, which take longer to start.
    done = _read_state(folder)
    entries = {
        p.stem: done[p.stem] for p in pairs if p.stem in done and _is_current(p, done[p.stem])
    }
    pairs = [pair for pair in pairs if pair.stem not in entries]
    for pair, (entry, found) in zip(pairs, _convert_pairs(pairs, processes), strict=True):
        problems += found
        if entry is not None:
            entries[pair.stem] = entry
    entries = {stem: entries[stem] for stem in images if stem in entries}  # by image path

    # Also after a failure: what is here then belongs to intact sources and need not be redone.
    keep = {name for entry in entries.values() for name in entry["outputs"]}
    for path in folder.iterdir():
        is_leftover = path.name.startswith(".") and ".tmp." in path.name  # of a killed run
        if is_leftover or (path.name.endswith((TRAIN_IDS, LABEL_IDS)) and path.name not in keep):
            path.unlink()
    state = {"digest": digest_of([_version(), entries]), "files": entries}
    write_atomically(folder / STATE, json.dumps(state, indent=1) + "\n")
    if problems:
        raise InputError("\n".join(problems))

    return {
        "split": split,
        "city": city,
        "files": [
            {
                "image": images[stem].relative_to(root).as_posix(),
                "image_sha256": entry["image_sha256"],
                "label": f"{split}/{city}/{stem}{TRAIN_IDS}",
                "label_sha256": entry["label_sha256"],
                "width": entry["width"],
                "height": entry["height"],
            }
            for stem, entry in entries.items()
        ],
        "pixels": [
            sum(counts) for counts in zip(*(e["pixels"] for e in entries.values()), strict=True)
        ],
    }


def _by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of `folder` that end with `suffix`, by what comes before it, sorted."""
    names = sorted(path.name for path in folder.glob(f"*{suffix}"))
    return {name.removesuffix(suffix): folder / name for name in names}


def _convert_pairs(
    pairs: list[_Pair], processes: int
) -> list[tuple[dict[str, Any] | None, list[str]]]:
    processes = min(processes, math.ceil(len(pairs) / 4))
    if processes <= 1:
        return [_convert_pair(pair) for pair in pairs]
    # Spawned, not forked: the caller may hold threads. A killed worker raises, it does not hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(_convert_pair, pairs, chunksize=4))


def _read_state(folder: Path) -> dict[str, Any]:
    """What an earlier run of this very code left in `folder`: entries by stem."""
    try:
        state = read_json(folder / STATE)
        intact = state["digest"] == digest_of([_version(), state["files"]])
    except (InputError, KeyError, TypeError, ValueError):
        return {}
    return state["files"] if intact else {}


def _version() -> list[str]:
    """Changes with whatever could change a label image."""
    sources = (__file__, classes.__file__, polygons.__file__)
    return [PIL.__version__, *(sha256(source) for source in sources)]
