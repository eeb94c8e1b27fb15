import multiprocessing
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from semask.base.errors import InputError, LostLoaderError
from semask.base.files import sha256
from semask.data.inputs import network_input
from semask.data.loading import (
    Batch,
    EvaluationSet,
    TrainingSet,
    evaluation_images,
    multi_scale_views,
    training_batches,
)
from semask.data.reading import read_image
from semask.data.transforms import Augmentation
from semask.data.workers import loaded

AUGMENTATION = Augmentation((32, 16), (0.8, 1.2), None, (16, 16))
IMAGES = 7


@pytest.fixture
def data(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """A manifest of images that are told apart by their colour, labelled with their number."""
    files = []
    for number in range(IMAGES):
        name: dict[str, Any] = {"image": f"é {number}.png", "label": f"é {number}-label.png"}
        cv2.imencode(".png", np.full((16, 32, 3), 30 * number, np.uint8))[1].tofile(
            tmp_path / name["image"]
        )
        cv2.imencode(".png", np.full((16, 32), number, np.uint8))[1].tofile(
            tmp_path / name["label"]
        )
        files.append({**name, "width": 32, "height": 16})
    return {"files": files}, tmp_path


@pytest.fixture(autouse=True)
def _no_workers_left() -> Iterator[None]:
    """Of faults whose tracebacks hold the loader; torch would wait 10 s for each."""
    yield
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()


def batches(
    data: tuple[dict[str, Any], Path], *, workers: int = 0, first: int = 0, rank: int = 0,
    world_size: int = 1, seed: int = 3, shuffle: bool = False, passes: int = 1,
) -> list[Batch]:  # fmt: skip
    manifest, root = data
    samples = TrainingSet(manifest, root, root, AUGMENTATION, seed, shuffle)
    return list(
        training_batches(
            samples, iterations=range(first, 6), global_batch=4, rank=rank,
            world_size=world_size, passes=passes, workers=workers, pin_memory=False,
        )
    )  # fmt: skip


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(all(map(torch.equal, x, y)) for x, y in zip(a, b, strict=True))


def joined_batch(parts: Any) -> Batch:
    return Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def test_workers_do_not_change_the_samples(data: Any) -> None:
    alone = batches(data)
    assert same(alone, batches(data, workers=1))
    assert same(alone, batches(data, workers=3))


def test_a_run_that_goes_on_sees_the_same_samples(data: Any) -> None:
    assert same(batches(data)[4:], batches(data, first=4))


def test_processes_share_each_batch(data: Any) -> None:
    shares = [batches(data, rank=rank, world_size=2) for rank in range(2)]
    joined = [joined_batch(parts) for parts in zip(*shares, strict=True)]
    assert same(joined, batches(data))


@pytest.mark.parametrize(("world_size", "passes"), [(1, 2), (1, 3), (2, 2), (3, 1), (4, 1)])
def test_passes_and_uneven_shares_make_up_the_same_batch(
    data: Any, world_size: int, passes: int
) -> None:
    shares = [
        batches(data, rank=r, world_size=world_size, passes=passes) for r in range(world_size)
    ]
    for share in shares:
        assert len(share) == 6 * passes
    sizes = [len(batch.images) for share in shares for batch in share]
    assert max(sizes) - min(sizes) <= 1
    joined = []
    for iteration in range(6):
        parts = [part for s in shares for part in s[iteration * passes : (iteration + 1) * passes]]
        joined.append(joined_batch(parts))
    assert same(joined, batches(data))


def test_seeds_differ(data: Any) -> None:
    assert not same(batches(data), batches(data, seed=4))
    # also what is drawn for an image, not just their order
    manifest, root = data
    one = {"files": manifest["files"][:1]}, root
    assert not same(batches(one), batches(one, seed=4))


def test_every_pass_shows_every_image_once(data: Any) -> None:
    numbers = [
        int(label.flatten().mode().values) for batch in batches(data) for label in batch.labels
    ]
    passes = [numbers[i : i + IMAGES] for i in range(0, len(numbers) - IMAGES, IMAGES)]
    assert all(sorted(numbers) == list(range(IMAGES)) for numbers in passes)
    assert passes[0] != passes[1]


def test_shuffled_labels_never_fit(data: Any) -> None:
    manifest, root = data
    samples = TrainingSet(manifest, root, root, AUGMENTATION, 0, shuffle_labels=True)
    assert sorted(label for _, label in samples.pairs) == sorted(
        root / file["label"] for file in manifest["files"]
    )
    for image, label in samples.pairs:
        assert label.name != image.name.replace(".png", "-label.png")


def test_shuffled_labels_of_another_size_are_stretched(data: Any) -> None:
    manifest, root = data
    for number, file in enumerate(manifest["files"]):
        size = 16 + number, 32 + 2 * number
        pixels = np.full((*size, 3), 200, np.uint8)
        cv2.imencode(".png", pixels)[1].tofile(root / file["image"])
        cv2.imencode(".png", pixels[:, :, 0] * 0)[1].tofile(root / file["label"])
        file["height"], file["width"] = size
    settings = Augmentation((32, 16), None, (1.0,), (16, 16), flip=0.0, photometric=False)
    samples = TrainingSet(manifest, root, root, settings, 0, shuffle_labels=True)
    for n in range(IMAGES):
        sample = samples[n]
        # all of the crop is image, and has a label
        assert (sample.images == 200).all()
        assert (sample.labels == 0).all()


def shares(samples: EvaluationSet, world_size: int, workers: int = 0) -> list[Any]:
    """Number, views and label of every image, over all processes."""
    return [
        (example.number, [*example.inputs(torch.device("cpu"))], example.label)
        for rank in range(world_size)
        for example in evaluation_images(
            samples, rank=rank, world_size=world_size, workers=workers, pin_memory=False
        )
    ]


@pytest.mark.parametrize("world_size", [1, 3, 10])
def test_each_evaluation_image_goes_to_one_process(data: Any, world_size: int) -> None:
    manifest, root = data
    seen = shares(EvaluationSet(manifest, root, root, (32, 16)), world_size)
    for number, [(image, mirrored)], label in seen:
        assert image.shape == (1, 3, 16, 32)
        assert image.dtype == torch.float32
        assert not mirrored
        assert label.dtype == torch.uint8
        assert int(label[0, 0]) == number
    assert sorted(number for number, _, _ in seen) == list(range(IMAGES))


def normalized(image: np.ndarray) -> torch.Tensor:
    return network_input(torch.from_numpy(np.ascontiguousarray(image))[None])


def test_whole_images_are_not_changed_at_their_own_size(data: Any) -> None:
    manifest, root = data
    [(image, _)] = EvaluationSet(manifest, root, root, (32, 16))[3].inputs(torch.device("cpu"))
    assert torch.equal(image, normalized(read_image(root / manifest["files"][3]["image"])))


@pytest.mark.parametrize("workers", [0, 2])
def test_views_are_fitted_into_the_scale_and_the_label_is_not(data: Any, workers: int) -> None:
    manifest, root = data
    rng = np.random.default_rng(0)
    for file in manifest["files"]:
        pixels = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
        cv2.imencode(".png", pixels)[1].tofile(root / file["image"])
    views = multi_scale_views([0.5, 1.5], flip=True)
    assert views == ((0.5, False), (0.5, True), (1.5, False), (1.5, True))
    samples = EvaluationSet(manifest, root, root, (48, 40), views)
    seen = shares(samples, 2, workers)
    assert [number for number, _, _ in seen] == [0, 2, 4, 6, 1, 3, 5]
    for number, shown, label in seen:
        # 32x16 is fitted into 24x20 and 72x60: the factors are 0.75 and 2.25
        sizes = [tuple(image.shape) for image, _ in shown]
        assert sizes == [(1, 3, 12, 24)] * 2 + [(1, 3, 36, 72)] * 2
        assert [mirrored for _, mirrored in shown] == [False, True] * 2
        assert label.shape == (16, 32)
        picture = read_image(samples.pairs[number][0])
        for (image, mirrored), size in zip(shown, [(24, 12)] * 2 + [(72, 36)] * 2, strict=True):
            resized = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
            assert torch.equal(image, normalized(resized[:, ::-1] if mirrored else resized))


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png: not a readable image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_line_from_a_worker_too(data: Any, workers: int) -> None:
    manifest, root = data
    (root / manifest["files"][4]["image"]).write_bytes(b"no image")
    with pytest.raises(InputError) as caught:
        batches(data, workers=workers)
    assert str(caught.value) == f"{root / 'é 4.png'}: not a readable image; restore the file"
    assert not multiprocessing.active_children()
    with pytest.raises(InputError) as caught:
        shares(EvaluationSet(manifest, root, root, (32, 16)), 1, workers)
    assert str(caught.value) == f"{root / 'é 4.png'}: not a readable image; restore the file"


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_is_no_longer_that_of_the_manifest_is_named(data: Any, workers: int) -> None:
    manifest, root = data
    for file in manifest["files"]:
        file["image_sha256"] = sha256(root / file["image"])
    batches(data, workers=workers)
    changed = root / manifest["files"][4]["image"]
    image = read_image(changed).copy()
    image[0, 0] += 1
    cv2.imencode(".png", image)[1].tofile(changed)
    with pytest.raises(InputError, match=r"é 4\.png: not what it was when the labels were"):
        batches(data, workers=workers)
    with pytest.raises(InputError, match=r"é 4\.png: not what it was when the labels were"):
        shares(EvaluationSet(manifest, root, root, (32, 16)), 1, workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_other_faults_are_not_taken_for_a_lost_worker(
    data: Any, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> None:
        raise EOFError("the file ends")

    monkeypatch.setattr("semask.data.loading.read_image", read)
    with pytest.raises(EOFError, match="the file ends"):
        batches(data, workers=workers)


@pytest.mark.parametrize("size", [(16, 30), (16, 34), (8, 32)])
def test_an_image_of_another_size_than_its_label_is_named(data: Any, size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    for number in range(IMAGES):
        cv2.imencode(".png", image)[1].tofile(data[1] / f"é {number}.png")
    with pytest.raises(InputError, match=r"é \d\.png: .* its label is 32x16; restore the file"):
        batches(data)


def test_the_image_of_a_sample_is_the_one_that_is_read(data: Any) -> None:
    manifest, root = data
    samples = TrainingSet(manifest, root, root, AUGMENTATION, 3)
    for n in range(3 * IMAGES):
        label = int(samples[n].labels.unique()[0])
        assert samples.image_of(n) == f"é {label}.png"


def test_the_order_of_the_samples_stays_what_it_was() -> None:
    """Recorded; a run that goes on, or is repeated by a later version, sees the same images."""
    files = [{"image": str(i), "label": str(i)} for i in range(IMAGES)]
    samples = TrainingSet({"files": files}, Path("a"), Path("b"), AUGMENTATION, seed=3)
    passes = [1, 3, 0, 6, 2, 5, 4], [6, 3, 0, 4, 2, 5, 1], [2, 6, 5, 3, 4, 0, 1]
    for number in (0, 1, 2, 1, 0):
        places = range(number * IMAGES, (number + 1) * IMAGES)
        assert [int(samples.image_of(n)) for n in places] == passes[number]
    assert [int(samples.image_of(n)) for n in (20, 0, 13, 1)] == [1, 1, 1, 3]


def test_the_order_is_drawn_once_for_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [{"image": str(i), "label": str(i)} for i in range(IMAGES)]
    samples = TrainingSet({"files": files}, Path("a"), Path("b"), AUGMENTATION, seed=3)
    drawn = []
    draw = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: drawn.append(seed) or draw(seed))
    for n in range(3 * IMAGES):
        samples.image_of(n)
    assert len(drawn) == 3


def test_a_long_name_of_the_folder_for_temporary_files(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket in it would have too long a name: batches were never handed over."""
    long = tmp_path / ("t" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    settings: Any = vars(multiprocessing.current_process())["_config"]
    monkeypatch.delitem(settings, "tempdir", raising=False)  # made once for each process
    manifest, root = data
    samples = EvaluationSet(manifest, root, root, (32, 16))
    seen = loaded(samples, workers=1, ahead=1, batch_size=None, collate_fn=id_of, timeout=60)
    assert list(seen) == list(range(IMAGES))
    assert not settings["tempdir"].startswith(str(long))


def test_a_batch_that_cannot_be_handed_over_ends_the_run(
    data: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """As where the memory that processes share is full; nobody waits for it until a limit."""
    manifest, root = data
    samples = EvaluationSet(manifest, root, root, (32, 16))
    options: Any = {"batch_size": None, "collate_fn": unfit}
    with pytest.raises(LostLoaderError):
        list(loaded(samples, workers=1, ahead=1, **options))
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("error: a process that loads data cannot hand over a batch (")
    assert "if /dev/shm is full" in line


def unfit(example: Any) -> Any:
    return lambda: example


def id_of(example: Any) -> Any:
    return example.label[0, 0].clone()
