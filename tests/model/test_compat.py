"""timm can be imported whatever torchvision was built for.

Each case runs in a process of its own, with a stand-in for torchvision first on the path.
"""

import os
import subprocess
import sys

import pytest

DECLARED = "import torch; print(hasattr(torch.ops.torchvision, 'nms'))"


def run(code, folder):
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def stand_in(folder, source):
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(source, encoding="utf-8")


def test_timm_imports_after_it(tmp_path):
    result = run("import semask.base.compat; import timm.models; import torchvision", tmp_path)

    assert result.returncode == 0, result.stderr


def test_operators_are_declared_where_torchvision_lacks_them(tmp_path):
    stand_in(tmp_path, "import torch\n@torch.library.register_fake('torchvision::nms')\ndef f(): 0")

    result = run(f"import semask.base.compat; import torchvision; {DECLARED}", tmp_path)

    assert result.stdout == "True\n", result.stderr


@pytest.mark.parametrize("source", ["", "raise ImportError('absent')"])
def test_nothing_is_declared_where_torchvision_is_sound_or_absent(tmp_path, source):
    stand_in(tmp_path, source)

    result = run(f"import semask.base.compat; {DECLARED}", tmp_path)

    assert result.stdout == "False\n", result.stderr


def test_another_fault_of_torchvision_is_not_hidden(tmp_path):
    stand_in(tmp_path, "raise RuntimeError('compiled for another CUDA')")

    result = run("import semask.base.compat", tmp_path)

    assert result.returncode != 0
    assert "compiled for another CUDA" in result.stderr
