"""Swin Transformer with a semantic layer after each stage (Jain et al., SeMask, figure 2)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from semask.base import compat  # noqa: F401  (before timm)
from semask.model.lean import EPS, LeanAttention, LeanMlp, dtype_of_products
from semask.model.semantic import SemanticLayer
from semask.model.windows import Layout, from_windows, lay_out, to_windows

from timm.layers import PatchEmbed, trunc_normal_  # isort: skip
from timm.models.swin_transformer import PatchMerging  # isort: skip

PATCH = 4
MLP_RATIO = 4
_LAYOUTS = 24  # that a stage keeps, three a size: seven scales. The largest mask takes 26 MB.


class FastGELU(nn.Module):
    """x·sigmoid(1.702·x), which the Ascend port's operator computes in place of the exact GELU."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps a tensor to one of the same shape."""
        return x * (1.702 * x).sigmoid()


class SwinBlock(nn.Module):
    """Window attention and MLP, each after a layer norm and around a residual.

    What is random or depends on the size of the map alone comes as an argument, so that blocks of
    the same shapes are one and the same computation: compiled once, and the same when it is
    repeated in the backward pass.

    Args:
        dim: channels.
        heads: of the attention.
        window: side of a window, in tokens.
        shift: of the windows, in tokens; 0 for none.
        fused: attention through `torch.nn.functional.scaled_dot_product_attention`.
        gelu: makes the MLP's activation.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        window: int,
        shift: int,
        fused: bool,
        gelu: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = LeanAttention(dim, num_heads=heads, window_size=window)
        # Set here, so that it is part of the recipe and does not hang on timm's environment.
        self.attn.fused_attn = fused  # type: ignore[misc]
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        activation: Any = gelu  # timm's annotation knows no partial
        self.mlp = LeanMlp(dim, hidden_features=MLP_RATIO * dim, act_layer=activation)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        kept_attention: Tensor | None = None,
        kept_mlp: Tensor | None = None,
    ) -> Tensor:
        """Maps features (B, H, W, dim) to features of the same shape.

        Args:
            x: features.
            layout: of the windows.
            kept_attention: factor (B, 1, 1, 1) of each sample's attention branch, see
                `Stage.draw_kept`; None keeps all.
            kept_mlp: likewise of the MLP.
        """
        x = x + _times(self._attend(self.norm1(x), layout), kept_attention)
        return x + _times(self.mlp(self.norm2(x)), kept_mlp)

    def _attend(self, x: Tensor, layout: Layout) -> Tensor:
        _, height, width, _ = x.shape
        # as the attention's first product would: a reduced precision moves half the bytes
        windows = to_windows(x.to(dtype_of_products(x)), self.window, layout)
        return from_windows(self.attn(windows, layout.mask), layout, height, width)


def _times(x: Tensor, kept: Tensor | None) -> Tensor:
    return x if kept is None else x * kept.to(x.dtype)


class Stage(nn.Module):
    """The blocks of one resolution, the semantic layer, and the way down to the next stage.

    Args:
        blocks: for features of `dim` channels.
        drop_path: of each block, the probability that a sample skips a branch in training.
        semantic_layer: what follows the blocks.
        downsample: the way down, to 2·dim channels; None in the last stage.
        checkpointing: keep only the blocks' inputs for the backward pass and compute the rest of
            each block anew there.
    """

    def __init__(
        self,
        blocks: Sequence[SwinBlock],
        drop_path: Sequence[float],
        semantic_layer: SemanticLayer,
        downsample: PatchMerging | None,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        self.drop_path, self.checkpointing = drop_path, checkpointing
        self._layouts: dict[tuple[int, int, int, int, torch.device, torch.dtype], Layout] = {}
        self.blocks = nn.ModuleList(blocks)
        self.semantic_layer = semantic_layer
        self.downsample = downsample

    @staticmethod
    def draw_kept(x: Tensor, drop_path: float) -> Tensor:
        """Draws which samples keep a branch (stochastic depth; Huang et al., 2016).

        Args:
            x: features (B, …).
            drop_path: probability that a sample skips the branch.

        Returns:
            (B, 1, 1, 1) float32: 0 with that probability, else the inverse of the other one.
        """
        kept = x.new_empty(len(x), 1, 1, 1, dtype=torch.float32)
        return kept.bernoulli_(1 - drop_path).div_(1 - drop_path)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Runs the stage.

        Args:
            x: features (B, H, W, dim).

        Returns:
            Features (B, H, W, dim), the semantic map (B, H, W, K), and the next stage's input
            (B, ⌈H/2⌉, ⌈W/2⌉, 2·dim), which in the last stage is the features again.
        """
        for block, drop_path in zip(self.blocks, self.drop_path, strict=True):
            x = self._run(block, x, drop_path)
        window = self.semantic_layer.window
        x, semantic_map = self.semantic_layer(x, self._layout(x, window, 0) if window else None)
        return x, semantic_map, x if self.downsample is None else self.downsample(x)

    def _run(self, block: Any, x: Tensor, drop_path: float) -> Tensor:
        layout = self._layout(x, block.window, block.shift)
        kept: list[Tensor | None] = [None, None]
        if self.training and drop_path:
            kept = [self.draw_kept(x, drop_path), self.draw_kept(x, drop_path)]
        if self.checkpointing and torch.is_grad_enabled():
            # nothing is drawn inside of a block, so no generator has to be put back
            again = partial(checkpoint, block, use_reentrant=False, preserve_rng_state=False)
            return again(x, layout, *kept)
        return block(x, layout, *kept)

    def _layout(self, x: Tensor, window: int, shift: int) -> Layout:
        """The layout of a map (B, H, W, dim), kept for the next of its size.

        Kept here rather than in a cached function, so that compiled code finds it as tensors that
        are there and does not make them anew every time.
        """
        _, height, width, _ = x.shape
        key = height, width, window, shift, x.device, dtype_of_products(x)
        if key not in self._layouts:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            self._layouts[key] = lay_out(*key)
        return self._layouts[key]


class SeMaskSwin(nn.Module):
    """The backbone.

    Args:
        num_classes: K, channels of the semantic maps.
        embed: channels of the first stage; each later stage has twice those before it.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        window: side of an attention window, in tokens.
        sem_windows: side of the semantic window of each stage; None attends over the whole map.
        drop_path: of the last block; it rises linearly from 0 in the first.
        semantic_dropout: on the output of semantic attention.
        fused: window attention through `torch.nn.functional.scaled_dot_product_attention`.
        gelu: makes the activation of the blocks' MLPs.
        checkpointing: blocks are computed anew in the backward pass, which takes less memory.
    """

    def __init__(
        self,
        num_classes: int,
        embed: int,
        depths: Sequence[int],
        heads: Sequence[int],
        window: int,
        sem_windows: Sequence[int | None],
        drop_path: float,
        semantic_dropout: float,
        fused: bool,
        gelu: Callable[[], nn.Module] = nn.GELU,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.dims = [embed * 2**i for i in range(len(depths))]
        self.patch_embed = PatchEmbed(
            img_size=None,
            patch_size=PATCH,
            embed_dim=embed,
            norm_layer=nn.LayerNorm,
            output_fmt="NHWC",
            dynamic_img_pad=True,
        )
        steps = max(sum(depths) - 1, 1)
        rates = [drop_path * i / steps for i in range(sum(depths))]
        self.layers = nn.ModuleList()
        for i, (dim, depth) in enumerate(zip(self.dims, depths, strict=True)):
            first = sum(depths[:i])
            drop_paths = rates[first : first + depth]
            # before the blocks: a seed's random numbers are drawn in this order
            semantic_layer = SemanticLayer(dim, num_classes, sem_windows[i], semantic_dropout)
            shifts = [(block % 2) * (window // 2) for block in range(depth)]
            blocks = [SwinBlock(dim, heads[i], window, shift, fused, gelu) for shift in shifts]
            # timm's merging takes the neighbours as (0,0), (1,0), (0,1), (1,1), as SeMask does.
            downsample = PatchMerging(dim) if i + 1 < len(depths) else None
            self.layers.append(Stage(blocks, drop_paths, semantic_layer, downsample, checkpointing))
            self.add_module(f"norm{i}", nn.LayerNorm(dim))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Features and semantic maps of the four stages.

        Args:
            images: (B, 3, H, W), any size; zeros are added at right and bottom where needed.

        Returns:
            Normalised features (B, embed·2^i, h, w) and semantic maps (B, K, h, w), i = 0…3, at
            strides 4, 8, 16, 32, each size rounded up. The memory order is channels-last. Under
            autocast the features have its precision.
        """
        features, semantic_maps = [], []
        x = self.patch_embed(images)
        for i, stage in enumerate(self.layers):
            feature, semantic_map, x = stage(x)
            # as the decoder's first product would, until which the whole would be kept
            feature = self.get_submodule(f"norm{i}")(feature).to(dtype_of_products(x))
            features.append(feature.permute(0, 3, 1, 2))
            semantic_maps.append(semantic_map.permute(0, 3, 1, 2))
        return features, semantic_maps


def _initialise(module: nn.Module) -> None:
    # The remaining parameters start as their modules make them: layer norms at 1 and 0, bias
    # tables truncated normal 0.02, gamma 0, the patch embedding as torch's convolution does.
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
