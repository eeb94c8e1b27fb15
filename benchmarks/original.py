"""The original implementation's steps, spelled plainly in PyTorch, OpenCV and numpy: the rival.

They compute what `semask` computes, which the tests check; only the way differs. The model's
rival runs on the parameters of a model of ours, so that both are the same network.
"""

from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.data.classes import IGNORE
from semask.data.inputs import MEAN, STD
from semask.data.transforms import Augmentation, crop_window, draw_ratio, scaled_size
from semask.model import SeMaskFPN
from semask.model.decoder import ConvBlock


class OriginalModel(nn.Module):
    """SeMask-FPN as the original runs it: tokens (B, H·W, C), one mask per stage and forward pass.

    Args:
        model: ours, whose parameters are used.
    """

    def __init__(self, model: SeMaskFPN) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Main and semantic logits (B, K, H/4, W/4) of images (B, 3, H, W)."""
        features, maps = self.features(images)
        return self.decode(features), _decode_maps(maps)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Main logits of the stages' features."""
        head = self.model.decode_head
        size = features[0].shape[2:]
        total = _scale(head.scale_heads[0], features[0])
        for blocks, feature in zip(list(head.scale_heads)[1:], features[1:], strict=True):
            x = _scale(blocks, feature)
            total = total + F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return head.conv_seg(head.dropout(total))

    def features(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Features (B, C, h, w) and semantic maps (B, K, h, w) of the four stages."""
        backbone: Any = self.model.backbone
        patches = backbone.patch_embed
        height, width = images.shape[2:]
        if height % 4 or width % 4:
            images = F.pad(images, (0, -width % 4, 0, -height % 4))
        x = patches.proj(images)
        height, width = x.shape[2:]
        x = patches.norm(x.flatten(2).transpose(1, 2))
        features, maps = [], []
        for i, stage in enumerate(backbone.layers):
            window = stage.blocks[0].window
            mask = _mask(height, width, window, window // 2, x)
            for block in stage.blocks:
                x = _block(block, x, height, width, mask)
            x, scores = _semantic(stage.semantic_layer, x, height, width)
            maps.append(scores)
            feature = getattr(backbone, f"norm{i}")(x).view(len(x), height, width, -1)
            features.append(feature.permute(0, 3, 1, 2).contiguous())
            if stage.downsample is not None:
                x, height, width = _merge(stage.downsample, x, height, width)
        return features, maps


def _mask(height: int, width: int, window: int, shift: int, like: Tensor) -> Tensor:
    height, width = -(-height // window) * window, -(-width // window) * window
    regions = torch.zeros((1, height, width, 1), device=like.device)
    spans = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    number = 0
    for rows in spans:
        for columns in spans:
            regions[:, rows, columns, :] = number
            number += 1
    cut = _windows(regions, window).view(-1, window * window)
    apart = cut.unsqueeze(1) - cut.unsqueeze(2)
    return apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)


def _scale(head: Any, x: Tensor) -> Tensor:
    for block in head:
        if isinstance(block, ConvBlock):
            x = F.relu(block.bn(block.conv(x)), inplace=True)
        else:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return x


def _windows(x: Tensor, window: int) -> Tensor:
    batch, height, width, channels = x.shape
    x = x.view(batch, height // window, window, width // window, window, channels)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, window, window, channels)


def _unwindows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    batch = windows.shape[0] // (height * width // window // window)
    x = windows.view(batch, height // window, width // window, window, window, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)


def _block(block: Any, x: Tensor, height: int, width: int, mask: Tensor) -> Tensor:
    batch, _, channels = x.shape
    window, shift = block.window, block.shift
    y = block.norm1(x).view(batch, height, width, channels)
    y = F.pad(y, (0, 0, 0, -width % window, 0, -height % window))
    padded_height, padded_width = y.shape[1:3]
    if shift:
        y = torch.roll(y, shifts=(-shift, -shift), dims=(1, 2))
    y = _windows(y, window).view(-1, window * window, channels)
    y = _attention(block.attn, y, mask if shift else None)
    y = _unwindows(y.view(-1, window, window, channels), window, padded_height, padded_width)
    if shift:
        y = torch.roll(y, shifts=(shift, shift), dims=(1, 2))
    x = x + y[:, :height, :width, :].contiguous().view(batch, height * width, channels)
    # not its forward, which keeps less than the original
    mlp = block.mlp
    return x + mlp.fc2(mlp.act(mlp.fc1(block.norm2(x))))


def _attention(attention: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    windows, tokens, channels = x.shape
    heads = attention.num_heads
    qkv = attention.qkv(x).reshape(windows, tokens, 3, heads, channels // heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = (q * (channels // heads) ** -0.5) @ k.transpose(-2, -1)
    bias = attention.relative_position_bias_table[attention.relative_position_index.view(-1)]
    scores = scores + bias.view(tokens, tokens, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
    if mask is not None:
        shape = windows // len(mask), len(mask), heads, tokens, tokens
        scores = (scores.view(shape) + mask.unsqueeze(1).unsqueeze(0)).view(-1, *shape[2:])
    weights = scores.softmax(dim=-1)
    return attention.proj((weights @ v).transpose(1, 2).reshape(windows, tokens, channels))


def _semantic(layer: Any, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    batch, _, channels = x.shape
    window, attend = layer.window, layer.class_injection[0]
    y = layer.norm1(x).view(batch, height, width, channels)
    y = F.pad(y, (0, 0, 0, -width % window, 0, -height % window))
    padded_height, padded_width = y.shape[1:3]
    y = _windows(y, window).view(-1, window * window, channels)
    q, k, v = attend.mlp_cls_q(y), attend.mlp_cls_k(y), attend.mlp_v(y)
    mixed = attend.drop(attend.mlp_res((q @ k.transpose(-2, -1)).softmax(dim=-1) @ v))
    y = attend.gamma * mixed + y
    back = []
    for z in (y, q):
        z = z.view(-1, window, window, z.shape[-1])
        z = _unwindows(z, window, padded_height, padded_width)[:, :height, :width, :]
        back.append(z.contiguous())
    return back[0].view(batch, height * width, channels), back[1].permute(0, 3, 1, 2).contiguous()


def _merge(merging: Any, x: Tensor, height: int, width: int) -> tuple[Tensor, int, int]:
    batch, _, channels = x.shape
    x = x.view(batch, height, width, channels)
    if height % 2 or width % 2:
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    parts = x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]
    x = torch.cat(parts, -1)
    height, width = x.shape[1:3]
    return merging.reduction(merging.norm(x.view(batch, -1, 4 * channels))), height, width


def _decode_maps(maps: list[Tensor]) -> Tensor:
    total = maps[0]
    for i, x in enumerate(maps[1:], start=1):
        for _ in range(i):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        size = maps[0].shape[2:]
        total = total + F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return total


def original_losses(main: Tensor, semantic: Tensor, labels: Tensor) -> Tensor:
    """The training loss; labels int64 (B, H, W)."""
    total = torch.zeros((), device=main.device)
    for logits, weight in ((main, 1.0), (semantic, 0.4)):
        resized = F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
        losses = F.cross_entropy(resized, labels, reduction="none", ignore_index=IGNORE)
        total = total + weight * losses.mean()
    with torch.no_grad():
        _ = (resized.topk(1, dim=1).indices[:, 0] == labels).float().mean()
    return total


def original_predict(model: OriginalModel, image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The test loop's prediction: the backbone runs once per decoder, softmax at full size."""
    features, _ = model.features(image)
    main = model.decode(features)
    _, maps = model.features(image)
    _decode_maps(maps)
    logits = main
    for to in (image.shape[-2:], size):
        logits = F.interpolate(logits, size=to, mode="bilinear", align_corners=False)
    return F.softmax(logits, dim=1).argmax(dim=1)[0].cpu().numpy()


def original_areas(prediction: np.ndarray, label: np.ndarray, num_classes: int) -> list[Tensor]:
    """Histograms of the pixels that are not ignored: of what is right, predicted and labelled."""
    guess, truth = torch.from_numpy(prediction), torch.from_numpy(label)
    counted = truth != IGNORE
    guess, truth = guess[counted], truth[counted]
    right = guess[guess == truth]
    return [
        torch.histc(x.float(), bins=num_classes, min=0, max=num_classes - 1)
        for x in (right, guess, truth)
    ]


def original_sample(
    image_file: bytes, label_file: bytes, settings: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A training sample: everything is decoded and resized whole, then cropped, in float32.

    Draws from `rng` in the order of `semask.data.transforms.augment`, so that equal generators
    give the same sample.
    """
    image = cv2.imdecode(np.frombuffer(image_file, np.uint8), cv2.IMREAD_COLOR)
    label = cv2.imdecode(np.frombuffer(label_file, np.uint8), cv2.IMREAD_UNCHANGED)
    height, width = label.shape
    size = scaled_size(width, height, settings.scale, draw_ratio(settings, rng))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    window = crop_window(label.shape, settings.crop, rng)
    if settings.cat_max_ratio < 1:
        for _ in range(10):
            found, counts = np.unique(label[window], return_counts=True)
            counts = counts[found != IGNORE]
            if len(counts) > 1 and counts.max() / counts.sum() < settings.cat_max_ratio:
                break
            window = crop_window(label.shape, settings.crop, rng)
    image, label = image[window], label[window]
    if rng.random() < settings.flip:
        image, label = np.flip(image, axis=1), np.flip(label, axis=1)
    if settings.photometric:
        image = _distort(np.ascontiguousarray(image), rng)
    image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB).astype(np.float32)
    image = (image - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    bottom, right = settings.crop[0] - label.shape[0], settings.crop[1] - label.shape[1]
    image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=0)
    label = cv2.copyMakeBorder(label, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=IGNORE)
    channels_first = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(channels_first), torch.from_numpy(label.astype(np.int64))


def _distort(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.integers(2):
        image = _linear(image, 1.0, rng.uniform(-32, 32))
    contrast_first = bool(rng.integers(2))
    if contrast_first and rng.integers(2):
        image = _linear(image, rng.uniform(0.5, 1.5), 0.0)
    if rng.integers(2):
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 1] = _linear(hsv[:, :, 1], rng.uniform(0.5, 1.5), 0.0)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if rng.integers(2):
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(int) + int(rng.integers(-18, 18))) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    if not contrast_first and rng.integers(2):
        image = _linear(image, rng.uniform(0.5, 1.5), 0.0)
    return image


def _linear(x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    scaled = x.astype(np.float32) * np.float32(alpha) + np.float32(beta)
    return np.clip(scaled, 0, 255).astype(np.uint8)
