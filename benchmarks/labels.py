"""Polygons to label images of Cityscapes' size: ours in parallel against cityscapesscripts.

Both make label ids and train ids; the pixels are the same, byte for byte. cityscapesscripts' tools
convert one file after the other. Ours, run as the pipeline runs it with the start of its processes
counted in, also checks that every image is whole, counts the classes and writes digests.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

from benchmarks import data, pairing
from benchmarks.pairing import Case


def main() -> None:
    arguments = pairing.parser(__doc__).parse_args()
    count, size = (16, (256, 128)) if arguments.quick else (96, data.SIZE)
    cores = os.cpu_count() or 1
    split = data.scenes(count, size)
    root = split["root"]
    ours, theirs = root.parent / "ours", root.parent / "theirs"
    cases = [
        Case("cityscapesscripts, serial", lambda: _serial(root, theirs)),
        *(
            Case(f"ours, {processes} process{'es' if processes > 1 else ''}", _parallel(
                root, ours / str(processes), processes
            ))
            for processes in sorted({1, cores})
        ),
    ]  # fmt: skip
    rows = pairing.compare(f"{count} label images, {cores} cores", cases, arguments.rounds)
    if "fault" in rows[-1]:
        pairing.keep("labels", arguments, {"conversion": rows, "files": count, "cores": cores})
    _check_equal(ours / str(cores) / "train" / "alder", theirs)
    results = {"conversion": rows, "files": count, "cores": cores, "pixels_equal": True}
    per_core = rows[-1]["ratio"]["median"] / cores
    print(f"{per_core:.2f} of the number of cores; all pixels are equal")
    pairing.keep("labels", arguments, {**results, "ratio_per_core": per_core})


def _serial(root: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted((root / "gtFine" / "train").rglob("*_polygons.json")):
        for kind, encoding in (("labelIds", "ids"), ("labelTrainIds", "trainIds")):
            name = path.name.replace("polygons.json", f"{kind}.png")
            json2labelImg(str(path), str(folder / name), encoding)


def _parallel(root: Path, folder: Path, processes: int) -> Callable[[], None]:
    command = [
        *(sys.executable, "-m", "workflow_scripts.labels", "--dataset", "streets"),
        *("--root", root, "--split", "train", "--part", "alder", "--labels", folder),
        *("--processes", str(processes), "--output", folder / "alder.json"),
    ]

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(command, check=True)

    return run


def _check_equal(ours: Path, theirs: Path) -> None:
    names = sorted(path.name for path in theirs.glob("*.png"))
    different = [n for n in names if _pixels(ours / n) != _pixels(theirs / n)]
    if different or not names:
        raise SystemExit(f"{len(different)} of {len(names)} files differ: {different[:3]}")


def _pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.tobytes()


if __name__ == "__main__":
    main()
