import gc

import pytest

from semask.base.startup import imports


def test_garbage_is_looked_for_again_after_imports() -> None:
    with imports():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_import_that_fails_is_heard() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), imports():
        __import__("no_such_module")
    assert gc.isenabled()
