"""Overlays over the embedded experiment's config, as files."""

from typing import NamedTuple

import pytest

from .conftest import Place, named


class Case(NamedTuple):
    name: str
    overlay: str | bytes
    says: list[str]


CASES = [
    Case("key twice", "training:\n  iterations: 3\n  precision: fp32\n  iterations: 4\n",
         ["bad.yaml", "'iterations' is there twice", "line 4"]),
    Case("iterations a float", "training: {iterations: 60.0}\n",
         ["training.iterations: 60.0 is not of type integer (write 60)"]),
    Case("seed a float",
         "rows: [{device: cpu, processes: 1, threads: 1, modes: [full], seeds: [1.0]}]\n",
         ["rows.0.seeds.0: 1.0", "integer"]),
    Case("processes a float",
         "rows: [{device: cpu, processes: 1.0, threads: 1, modes: [full], seeds: [1]}]\n",
         ["rows.0.processes: 1.0", "integer"]),
    Case("seed of 2^63",
         "rows: [{device: cpu, processes: 1, threads: 1, modes: [full], "
         "seeds: [9223372036854775808]}]\n", ["rows.0.seeds.0", "9000000000000000"]),
    Case("batch that no memory holds", "training: {batch: {size: 10000000000}}\n",
         ["training.batch.size", "65536"]),
    Case("batch and crop that no memory holds",
         "training: {batch: {size: 65536}, augmentation: {scale: [8192, 8192], "
         "crop: [4096, 4096]}}\n", ["training.batch.size: 65536 crops", "TiB"]),
    Case("batch of fewer than the processes", "training: {batch: {size: 1}}\n",
         ["training.batch.size: 1 images", "2 processes", "rows.1"]),
    Case("crop of one value", "training: {batch: {size: 2, micro_batch: 1}, "
         "augmentation: {crop: [32, 8]}}\n", ["training.augmentation.crop", "batch norm"]),
    Case("ratio that no memory holds",
         "training: {augmentation: {scale: [4096, 4096], ratio_range: [1.0, 90.0]}}\n",
         ["training.augmentation.scale", "368640x368640 pixels"]),
    Case("view that no memory holds",
         "evaluation: {scale: [16384, 8192], multi_scale: {ratios: [2.0], flip: true}}\n",
         ["evaluation.scale", "32768x16384 pixels"]),
    Case("weight decay", "training: {weight_decay: 1.0e+300}\n", ["training.weight_decay"]),
    Case("weight decay of all", "training: {weight_decay: 1000, learning_rate: 0.01}\n",
         ["training.weight_decay: 1000", "below 1"]),
    Case("one folder for two", "results: data/streets-labels\n",
         ["results: data/streets-labels", "dataset.labels"]),
    Case("other site's bundle",
         "imports: {npu: {file: results/../results/bundle.zip, digest: null}}\n",
         ["imports.npu.file: results/bundle.zip is where this machine packs its own"]),
    Case("empty file", "", ["bad.yaml", "not a mapping"]),
    Case("only a comment", "# nothing\n", ["bad.yaml", "not a mapping"]),
    Case("list", "- a\n- b\n", ["bad.yaml", "not a mapping"]),
    Case("text", "training", ["bad.yaml", "not a mapping"]),
    Case("syntax error", "training: {epochs: 3", ["bad.yaml", "not YAML", "line"]),
    Case("tab", "training:\n\tepochs: 3\n", ["bad.yaml", "not YAML", "line 2"]),
    Case("not UTF-8", b"experiment: \xff\xfe\n", ["bad.yaml", "not YAML"]),
    Case("NUL", b"experiment: a\0b\n", ["bad.yaml", "not YAML"]),
    Case("Python object", "experiment: !!python/object/apply:os.mkdir [x]\n", ["bad.yaml"]),
    Case("two documents", "a: 1\n---\nb: 2\n", ["bad.yaml", "not YAML"]),
    Case("deep nesting", "a: " + "[" * 5000 + "]" * 5000, ["bad.yaml", "not YAML"]),
    Case("circle", "training: &a {b: *a}\n", ["training.b.b", "within itself"]),
    Case("unhashable key", "? {a: 1}\n: 2\n", ["bad.yaml", "not YAML"]),
    Case("bad date", "experiment: 2026-99-99\n", ["bad.yaml", "not YAML"]),
    Case("date", "experiment: 2026-01-01\n", ["experiment", "string"]),
    Case("number as key", "1: 2\n", ["1: unknown key"]),
    Case("null as key", "~: 2\n", ["None: unknown key"]),
    Case("mixed keys", "training: {1: 2, a: 3}\n", ["training.", "unknown key"]),
    Case("null section", "training:\n", ["training: None", "object"]),
    Case("section a number", "dataset: 3\n", ["dataset: 3", "object"]),
    Case("section a list", "model: [nano]\n", ["model: ['nano']", "object"]),
    Case("unknown key", "training: {epoch: 3}\n", ["training.epoch: unknown key", "epochs"]),
    Case("text with lines", 'experiment: "a\\nb"\n', ["experiment: "]),
    Case("integer a truth", "loader: {workers: true}\n", ["loader.workers", "integer"]),
    Case("negative", "loader: {workers: -1}\n", ["loader.workers", "-1"]),
    Case("NaN", "training: {learning_rate: .nan}\n", ["training.learning_rate", "finite"]),
    Case("infinite", "training: {augmentation: {flip: .inf}}\n", ["augmentation.flip", "finite"]),
    Case("crop of one", "training: {augmentation: {crop: [8]}}\n", ["augmentation.crop", "short"]),
    Case("crop of three", "training: {augmentation: {crop: [8, 8, 8]}}\n", ["augmentation.crop"]),
    Case("ratios the wrong way", "training: {augmentation: {ratio_range: [2.0, 0.5]}}\n",
         ["ratio_range", "2.0 is above 0.5"]),
    Case("both ratios", "training: {augmentation: {ratios: [1.0]}}\n", ["ratio_range and ratios"]),
    Case("warm-up of everything", "performance: {warmup_iterations: 40}\n",
         ["performance.warmup_iterations"]),
    Case("scale without fp16", "port_faults: {fixed_loss_scale: 128}\n", ["fixed_loss_scale"]),
    Case("row twice", "rows:\n" + 2 * (
        "- {device: cpu, processes: 1, threads: 1, modes: [full], seeds: [0]}\n"),
        ["rows.1", "cpu-1p is there twice"]),
    Case("fault outside of demonstrations", "rows: [{device: cpu, processes: 1, threads: 1, "
         "modes: [full], seeds: [0], planted_fault: gelu_tanh}]\n",
         ["rows.0.planted_fault", "gelu_tanh", "set demonstration to true"]),
    Case("nothing to average", "demonstration: true\nrows: [{device: cpu, processes: 1, "
         "threads: 1, modes: [full], seeds: [0], planted_fault: gradients_not_averaged}]\n",
         ["rows.0.planted_fault", "nothing is averaged"]),
    Case("no drop-path to fire", "demonstration: true\nrows: [{device: cpu, processes: 1, "
         "threads: 1, modes: [full], seeds: [0], planted_fault: drop_path_never_fires}]\n",
         ["rows.0.planted_fault", "model.drop_path"]),
    Case("fault in a compiled step", "demonstration: true\nexecution: {compile: [cpu]}\nrows: "
         "[{device: cpu, processes: 1, threads: 1, modes: [full], seeds: [0], "
         "planted_fault: none}]\n", ["rows.0.planted_fault", "execution.compile"]),
    Case("unknown fault", "demonstration: true\nrows: [{device: cpu, processes: 1, threads: 1, "
         "modes: [full], seeds: [0], planted_fault: gelu}]\n", ["planted_fault", "gelu"]),
    Case("no rows", "rows: []\n", ["rows"]),
    Case("row without device", "rows: [{processes: 1}]\n", ["rows.0.device: missing"]),
    Case("huge number", "rows: [{device: cpu, processes: 1" + "0" * 400 + "}]\n", ["rows.0"]),
    Case("unknown variant", "variant: huge\n", ["variant", "'huge'", "none"]),
    Case("variant a list", "variant: [a]\n", ["variant", "['a']", "not a name"]),
    Case("variants a list", "variants: [a]\n", ["variants", "not a mapping"]),
    Case("variant a number", "variants: {a: 3}\nvariant: a\n", ["variants.a", "not a mapping"]),
    Case("variant that is wrong", "variants: {a: {modle: 3}}\nvariant: a\n", ["modle: unknown"]),
    Case("labels in the data", "dataset: {root: x, labels: x/y}\n", ["dataset.labels", "x/y"]),
    Case("root with NUL", 'dataset: {root: "a\\0b"}\n', ["dataset.root"]),
    Case("data set not known", "dataset: {name: kitti}\n", ["dataset.name", "kitti"]),
    Case("classes of another", "dataset: {name: ade20k}\n", ["model.num_classes", "150"]),
    Case("mirror no URL", "downloads: {mirrors: {a: b}}\n", ["downloads.mirrors", "'a'"]),
    Case("released of another", "released: {device: cpu, weights: {x: y}}", ["released.weights.x"]),
    Case("agreement alone", "evaluation: {agreement: true}\n", ["evaluation.agreement"]),
]  # fmt: skip


@named(CASES)
def test_refused(place: Place, case: Case) -> None:
    place.write("bad.yaml", case.overlay)
    place.refusal("cost", {"--experiment": "bad.yaml"}, case.says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"--experiment": "nowhere.yaml"}, ["nowhere.yaml", "cannot be read"]),
        ({"--experiment": "data"}, ["data", "cannot be read"]),
        ({"--experiment": ["good.yaml", "nowhere.yaml"]}, ["nowhere.yaml", "cannot be read"]),
        ({"--variant": "huge"}, ["huge"]),
    ],
)
def test_files_that_are_none(place: Place, options: dict[str, object], says: list[str]) -> None:
    place.write("good.yaml", "loader: {workers: 0}\n")
    place.refusal("cost", options, says)
