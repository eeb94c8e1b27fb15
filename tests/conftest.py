import json
import locale
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import settings

from semask.config.layers import assemble
from semask.devices import locks
from semask.parity.verdict import number, status_of

from .server import Server, serving
from .simulated_npu.build import CannotBuildError, environment

if TYPE_CHECKING:
    from .browser import Browser

ORACLE = Path(__file__).parent / "data" / "oracle"
REPOSITORY = Path(__file__).parents[1]
# Python renames these when they are whole, perhaps while they are copied
BEING_COMPILED = shutil.ignore_patterns("*.pyc.*")


# reproducible, and not at the mercy of a busy machine
settings.register_profile("tests", deadline=None, derandomize=True)
settings.load_profile("tests")

# Of a command in a script's background the shell lets SIGINT be ignored, as would then whatever the
# tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# what takes long comes first, so that no core waits for a long file at the end
SLOWEST_FIRST = ("workflow", "training", "bad_input", "model")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a fifth of the time a test waits for what it has started."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Temporary files of these tests lie apart from all others', and so do locks of devices.

    Those are one machine's: another run of the tests, or of the workflow, would hold some of them.
    """
    tmp_path_factory.getbasetemp()  # is to outlast the tests: pytest keeps the last three
    # its name is short: sockets have names of at most a hundred characters
    with tempfile.TemporaryDirectory(prefix="t-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setenv(locks.LOCKS, folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


def _of_the_process() -> dict[str, str]:
    """What tests of one process share, and what one may not leave changed to the next."""
    # the latter are torch's own, of whoever has it import its compiler, or compile, first
    others = ("PYTEST_", "TORCHINDUCTOR_", "_TORCHINDUCTOR_", "TRITON_")
    shared = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return {**shared, "folder": os.getcwd(), "language": locale.setlocale(locale.LC_CTYPE)}


@pytest.fixture(autouse=True)
def nothing_is_left_changed() -> Iterator[None]:
    """Which files share a process, and in what order, is nobody's choice."""
    before = _of_the_process()
    yield
    # what other launchers left may be gone: a main that is called here sheds it
    assert {k: v for k, v in _of_the_process().items() if before.get(k) != v} == {}


@pytest.fixture
def oracle() -> Path:
    """Folder with the recorded outputs of the original implementation."""
    return ORACLE


@pytest.fixture(scope="session")
def simulated_npu() -> Callable[..., dict[str, str]]:
    """Makes the environment of a process that sees simulated NPUs; its knobs are arguments."""
    try:
        environment()
    except CannotBuildError as fault:
        if os.environ.get("SIMULATED_NPU") == "required":  # in CI, which has a compiler
            pytest.fail(f"the simulated NPU cannot be built: {fault}")
        pytest.skip(f"the simulated NPU cannot be built: {fault}")
    return environment


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """A browser, for a file's tests; they are skipped where there is none."""
    from .browser import CHROMIUM, DRIVER, browser

    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local web server; without the proxies that the surroundings may name."""
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as made:
        yield made


@pytest.fixture
def config() -> dict[str, Any]:
    """The embedded experiment's configuration."""
    return assemble([yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))])


@pytest.fixture(scope="session")
def make_record() -> Any:
    """Makes the content of a record, as the stages give it to `write_record`."""

    def make(kind: str, **changes: Any) -> dict[str, Any]:
        digest = "0" * 64
        content: dict[str, Any] = {
            "experiment": "streets",
            "data_fingerprint": digest,
            "run": {
                "code_version": "0.1.0",
                "host": "somewhere",
                "started": "2026-01-02T03:04:05+00:00",
                "ended": "2026-01-02T03:05:05+00:00",
                "command": "python -m workflow_scripts.train",
            },
        }
        if kind == "facts":
            del content["experiment"], content["data_fingerprint"]
            gmac = {"total": 85.84, "backbone": 58.14, "semantic_layers": 3.71}
            figures = {
                "variant": "tiny",
                "num_classes": 19,
                "parameters": {
                    "total": 34243753,
                    "backbone": 29148054,
                    "semantic_layers": 1627356,
                    "decoder": 5095699,
                },
                "buffers": 32403,
                "gmac": {"768x768": gmac},
            }
            return {**content, "figures": figures, **changes}
        if kind == "baselines":
            figures = {"constant": {"miou": 2.0}, "nearest_colour": {"miou": 11.0}}
            return {**content, "figures": figures, **changes}
        content.update(
            row={"device": "cpu", "processes": 1, "threads": 1},
            mode="full",
            seed=0,
            recipe=recipe(),
            weights_digest={"best": digest, "last": digest},
            device={"name": "a processor", "torch": "2.13.0"},
        )
        if kind in ("train", "evaluate", "cross"):
            graphs = dict.fromkeys(("compiled", "recompiled", "breaks"), 0)
            content["ran"] = {"processes": [process()], "graphs": graphs}
        if kind in ("train", "evaluate", "parity", "cross"):
            settings = ("compile", "fused_attention", "checkpointing")
            content["execution"] = dict.fromkeys(settings, False)
        if kind == "parity":
            for key in ("data_fingerprint", "mode", "seed", "weights_digest"):
                del content[key]
            asked = {"seed": 0, "size": [64, 64], "batch": 2, "steps": 3}
            looks = {"semantics: modules": looked_at({"network.norm": 0.5, "network.act": 2.5})}
            figures = {"asked": asked, "work": {"gmac": 100.0, "peak": 2e13}, "looks": looks}
            return {**content, "figures": figures, **changes}
        if kind == "cross":
            of = {key: content[key] for key in ("row", "seed", "device")}
            content["weights_of"] = {
                **of,
                "iteration": 200,
                "weights_digest": digest,
                "evaluate_record_digest": digest,
            }
            for key in ("mode", "seed", "weights_digest"):
                del content[key]
            return {**content, "figures": crossed(), **changes}
        if kind == "train":
            figures = {
                "speed": {
                    "fps": 10.0,
                    "fps_median": 10.5,
                    "fps_p10": 9.0,
                    "fps_p90": 11.0,
                    "data_wait_share": 0.1,
                    "fps_log_window": 9.5,
                    "log_window": [40, 30],
                    "iterations_measured": 50,
                    "warmup_iterations": 10,
                },
                "best": {"iteration": 200, "miou": 45.0},
                "last": {"iteration": 300, "loss": 1.0},
            }
        else:
            scores = {"macc": 50.0, "aacc": 60.0, "iou": [1.0, None], "confusion": [[1, 0], [0, 1]]}
            figures = {
                "best": {"iteration": 200, "miou": 45.0, **scores},
                "last": {"iteration": 300, "miou": 44.0, **scores},
                "images": 500,
                "labelled_pixels": 2,
            }
        return {**content, "figures": figures, **changes}

    return make


def crossed(pixels: int = 1, low: float = -0.001, high: float = 0.001) -> dict[str, Any]:
    """Figures of a record of weights that another row's device scored, of two classes."""
    scores = {"miou": 45.0, "iou": [45.0, None]}
    return {
        "images": 500,
        "labelled_pixels": 1_000_000,
        "flips": {
            "pixels": pixels,
            "share": pixels / 1_000_000,
            "of_class": [pixels, 0],
            "share_of_class": [pixels / 1_000_000, None],
        },
        "there": scores,
        "here": scores,
        "difference": {"miou": 0.0, "iou": [0.0, None], "interval": [low, high]},
        "bootstrap": {"resamples": 2000, "seed": 0, "level": 0.95},
        "matrices_digest": "0" * 64,
        "cpu_fallbacks": None,
    }


def process(rank: int = 0, **changes: Any) -> dict[str, Any]:
    """A process as a record names it."""
    own = {"rank": rank, "pid": 100 + rank, "host": "somewhere", "device": "a processor"}
    return {**own, "id": None, "threads": 1, **changes}


def conditions(others: float | None = None, **changes: Any) -> dict[str, Any]:
    """What a record says of one machine of a performance run."""
    return {
        "host": "somewhere",
        "seconds": 60.0,
        "samples": 13,
        "cost": 0.0002,
        "cores": 16,
        "others": None if others is None else {"mean": others, "most": others},
        "throttled": None,
        "clock_mhz": None,
        "devices": [],
        "not_observed": [],
        **changes,
    }


def looked_at(ratios: Mapping[str, float | None], loss: float = 1.5) -> dict[str, Any]:
    """What a look at modules found; None is a ratio that is not finite."""
    modules = []
    for name, ratio in ratios.items():
        status = status_of(number(ratio))
        worst = {"name": "output 0", "error": None if ratio is None else 2e-7 * ratio,
                 "yardstick": None, "ratio": ratio}  # fmt: skip
        by_standard = {"computed_in": "fp32", "mean": 1e-6, "limit": 2.0**-13,
                       "largest": None if name == "network.norm" else 1e-4}  # fmt: skip
        modules.append(
            {"name": name, "path": name, "source": "Norm, torch/norm.py:7", "status": status,
             "worst": worst, "fault": None, "bitwise": True, "operator_error": by_standard}
        )  # fmt: skip
    failed = [module["name"] for module in modules if module["status"] == "failed"]
    errors = {name: 1e-7 * (n + 1) for n, name in enumerate(ratios)}
    one = {"loss": loss, "gradient": 1e-6, "outputs": errors, "gradients": {}}
    norms = {name: [1.0, 2.0] for name in ratios}
    return {
        "modules": modules,
        "whole": {"device": one, "honest": one},
        "unequal": [],
        "failed": failed,
        "guilty": failed[0] if failed else None,
        "reference": {"weights_sha256": "1" * 64, "inputs_sha256": "2" * 64, "loss": loss,
                      "norms": norms},
        "seconds": 2.0,
    }  # fmt: skip


def recipe(**training: Any) -> dict[str, Any]:
    """A recipe as it stands in a record: the Ascend port's SeMask-S on 8 devices."""
    return {
        "dataset": "cityscapes",
        "model": {"variant": "small", "num_classes": 19},
        "training": {
            "iterations": 80000,
            "global_batch": 32,
            "accumulation": 1,
            "learning_rate": 0.0003,
            "precision": "fp32",
            "shuffle_labels": False,
            "augmentation": {"crop": [768, 768]},
            **training,
        },
        "numerics": {
            "gelu": "exact",
            "reduced_matmul": False,
            "reduced_convolution": False,
            "deterministic": False,
            "shared_chance": False,
        },
        "port_faults": {"drop_path_never_fires": False, "fast_gelu": False},
        "evaluation": {"scale": [2048, 1024], "sliding_window": None},
    }


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
