"""The trainer without dropout, whose masks differ between 1 and N processes."""

from torch import Tensor, nn

from semask.workflow import guard
from workflow_scripts import train


def _keep(self: nn.Module, x: Tensor) -> Tensor:
    return x


for kind in (nn.Dropout, nn.Dropout2d):
    kind.forward = _keep
guard.run(train.main)
