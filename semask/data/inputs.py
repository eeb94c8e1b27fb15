"""The network's input from the bytes of images, made on the device that computes."""

from functools import lru_cache

import torch

# ImageNet mean and standard deviation, RGB, of pixels in 0 … 255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def network_input(
    images: torch.Tensor, sizes: torch.Tensor | None = None, mirrored: bool = False
) -> torch.Tensor:
    """Normalises images: (x − MEAN) / STD in float32.

    Bytes travel to the device, a quarter of what floats would take; the arithmetic is the same on
    every device, bit for bit. Of uint8 (B, H, W, 3), BGR, on any device, it makes float32
    (B, 3, H, W), RGB, contiguous, on the same one, mirrored left and right if asked to.

    `sizes`, integers (B, 2) on the host, are height and width of what is image; the rest becomes 0,
    after normalising. None where images fill their tensor.
    """
    mean, std = _constants(images.device)
    x = images.permute(0, 3, 1, 2).flip((1, 3) if mirrored else 1)
    x = x.float().contiguous().sub_(mean).div_(std)
    if sizes is not None:
        for image, (height, width) in zip(x, sizes.tolist(), strict=True):
            image[:, height:].zero_()
            image[:, :, width:].zero_()
    return x


@lru_cache(maxsize=8)
def _constants(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    # kept, since a copy to the device for every batch would wait for it
    with torch.inference_mode(False):
        mean, std = (torch.tensor(of, device=device)[:, None, None] for of in (MEAN, STD))
        return mean, std
