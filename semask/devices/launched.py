"""Whether this process was started by this run's launcher, or only found another one's variables.

Launchers tell their processes by environment variables who they are, and what these start inherits
them: a notebook under torchrun, a pod of Kubeflow or ModelArts, a step of mpirun. So a variable
proves nothing but by its value: the process id of the launcher that has set it.
"""

import os
import re
from collections.abc import MutableMapping
from functools import cache

MARK = "SEMASK_LAUNCHER"
"""Environment variable: process id of what has launched the processes that do the work.

It is their parent, or, where there is one process, itself before it started anew.
"""

# Who a process is among others and where these meet: of torchrun, PyTorch's operators of
# Kubernetes, DeepSpeed, Lightning (RANK, …, MASTER_ADDR), torchrun alone (TORCHELASTIC_…, PET_…),
# and Ascend's rank tables, as ModelArts and its peers write them.
_OF_LAUNCHERS = re.compile(
    r"((LOCAL|GROUP|ROLE|NODE|CROSS)_)?(RANK|WORLD_SIZE)|(LOCAL|GROUP|ROLE)_(NAME|SIZE)"
    r"|MASTER_(ADDR|PORT)|(TORCHELASTIC|TORCH_ELASTIC|PET)_.*"
    r"|RANK_TABLE_FILE|RANK_TABLE_PATH|RANK_(ID|SIZE|START|INDEX)|(ASCEND_)?DEVICE_(ID|NUM|INDEX)"
)


@cache  # a parent that is gone is not the parent any more
def is_launched() -> bool:
    """Whether this is a process that does the work, as opposed to the one that starts it."""
    return os.environ.get(MARK) in (str(os.getpid()), str(os.getppid()))


def is_one_of_several() -> bool:
    """Whether this is one of the processes that the supervisor of a run started."""
    return is_launched() and os.environ[MARK] != str(os.getpid())


def shed(environment: MutableMapping[str, str]) -> None:
    """Take out what any launcher has set: the libraries of a new run would obey it."""
    for name in list(environment):
        if name == MARK or _OF_LAUNCHERS.fullmatch(name):
            del environment[name]
