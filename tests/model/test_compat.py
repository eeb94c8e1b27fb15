"""timm can be imported whatever torchvision was built for.

Each case runs in a process of its own, with a stand-in for torchvision first on the path.
"""

import os

import pytest

from ..conftest import REPOSITORY
from ..warm import Warm

DECLARED = "import torch; print(hasattr(torch.ops.torchvision, 'nms'))"


@pytest.fixture(scope="module")
def with_torch():
    """A process that has nothing but torch yet, to be forked."""
    made = Warm(["torch"], os.environ)
    yield made
    made.close()


@pytest.fixture
def run(with_torch, tmp_path):
    def run(code):
        (tmp_path / "case.py").write_text(code, encoding="utf-8")
        path = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        return with_torch.run("case", [], tmp_path, environment=environment, timeout=120)

    return run


def stand_in(folder, source):
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(source, encoding="utf-8")


def test_timm_imports_after_it(run):
    result = run("import semask.base.compat; import timm.models; import torchvision")

    assert result.status == 0, result.stderr


def test_a_model_of_timm_can_be_named_for_parity(run, tmp_path):
    stand_in(tmp_path, "import torch\n@torch.library.register_fake('torchvision::nms')\ndef f(): 0")
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm/__init__.py").write_text("import torchvision", encoding="utf-8")
    (tmp_path / "timm/nets.py").write_text("def net(): 0", encoding="utf-8")

    result = run(
        "import sys; from semask.parity import anybody\n"
        "print(anybody.named('timm.nets:net', '--model').__name__)"
    )

    assert result.stdout == "net\n", result.stderr


def test_operators_are_declared_where_torchvision_lacks_them(run, tmp_path):
    stand_in(tmp_path, "import torch\n@torch.library.register_fake('torchvision::nms')\ndef f(): 0")

    result = run(f"import semask.base.compat; import torchvision; {DECLARED}")

    assert result.stdout == "True\n", result.stderr


@pytest.mark.parametrize("source", ["", "raise ImportError('absent')"])
def test_nothing_is_declared_where_torchvision_is_sound_or_absent(run, tmp_path, source):
    stand_in(tmp_path, source)

    result = run(f"import semask.base.compat; {DECLARED}")

    assert result.stdout == "False\n", result.stderr


def test_another_fault_of_torchvision_is_not_hidden(run, tmp_path):
    stand_in(tmp_path, "raise RuntimeError('compiled for another CUDA')")

    result = run("import semask.base.compat")

    assert result.status != 0
    assert "compiled for another CUDA" in result.stderr
