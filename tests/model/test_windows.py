import pytest
import torch
import torch.nn.functional as F

from semask.model.windows import from_windows, lay_out, to_windows

WINDOW = 4


def plainly(x, shift):
    x = F.pad(x, (0, 0, 0, -x.shape[2] % WINDOW, 0, -x.shape[1] % WINDOW))
    x = x.roll((-shift, -shift), dims=(1, 2))
    x = x.unflatten(2, (-1, WINDOW)).unflatten(1, (-1, WINDOW)).transpose(2, 3)
    return x.flatten(3, 4).flatten(0, 2)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(8, 12), (9, 6), (3, 1)])
def test_one_gather_is_padding_rolling_and_cutting(size, shift):
    layout = lay_out(*size, WINDOW, shift, torch.device("cpu"), torch.float32)
    x = torch.randn(2, *size, 5, requires_grad=True)
    windows, expected = to_windows(x, WINDOW, layout), plainly(x, shift)
    assert torch.equal(windows, expected)
    assert torch.equal(from_windows(windows, layout, *size), x)
    # each is the other's backward pass, where what padding became has no part
    weight = torch.randn_like(windows)
    found, wanted = (torch.autograd.grad(y, x, weight)[0] for y in (windows, expected))
    assert torch.equal(found, wanted)
    free = torch.randn_like(windows, requires_grad=True)
    back = from_windows(free, layout, *size)
    [gradient] = torch.autograd.grad(back, free, x.detach())
    assert torch.equal(gradient, plainly(x.detach(), shift))
