"""The semantic layer: attention over class scores, added to the features of a stage.

Jain et al., SeMask, section 3.2. After the blocks of a stage, every token is given K class scores
twice, as query and as key; tokens with alike scores exchange features. The queries, as a map, are
the semantic map of the stage, which the semantic decoder is trained on.
"""

import torch
from torch import Tensor, nn

from semask.model.windows import Layout, from_windows, to_windows

# of queries with keys that are held at a time in evaluation: those of a whole map at 1024x2048
_MOST_SCORES = 2**26


class SemanticAttention(nn.Module):
    """Single-head, unscaled attention whose queries and keys are class scores.

    Args:
        dim: channels of the features.
        num_classes: K, channels of queries and keys.
        dropout: probability on the projected output.
    """

    def __init__(self, dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.mlp_cls_q = nn.Linear(dim, num_classes)
        self.mlp_cls_k = nn.Linear(dim, num_classes)
        self.mlp_v = nn.Linear(dim, dim)
        self.mlp_res = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Attends within each group of tokens.

        Args:
            x: normalised tokens (groups, N, dim).

        Returns:
            The output (groups, N, dim) and the queries (groups, N, K).
        """
        q, k, v = self.mlp_cls_q(x), self.mlp_cls_k(x), self.mlp_v(x)
        f = self.drop(self.mlp_res(_attend(q, k, v)))
        return self.gamma * f + x, q


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ) v of (groups, N, ·); where nothing is learnt, with bounded memory."""
    groups, tokens, _ = q.shape
    queries = tokens if torch.is_grad_enabled() else max(1, _MOST_SCORES // (groups * tokens))
    if queries >= tokens:
        return (q @ k.transpose(-2, -1)).softmax(dim=-1) @ v
    # over the whole map at twice 1024x2048 all at once would be 4 GB, and the softmax as much
    parts = [(part @ k.transpose(-2, -1)).softmax(dim=-1) @ v for part in q.split(queries, dim=1)]
    return torch.cat(parts, dim=1)


class SemanticLayer(nn.Module):
    """Layer norm, then semantic attention within windows or over the whole map.

    The residual is the normalised input, not the input. Windows do not shift; tokens padded to
    fill a window are zeros after the norm and take part as keys and values. The whole map is one
    group, without padding.

    Args:
        dim: channels of the features.
        num_classes: K, channels of the semantic map.
        window: side of a window in tokens; None attends over the whole map.
        dropout: probability on the attention's output.
    """

    def __init__(self, dim: int, num_classes: int, window: int | None, dropout: float) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim)
        # A list of one, because published weights name the attention `class_injection.0`.
        self.class_injection = nn.ModuleList([SemanticAttention(dim, num_classes, dropout)])

    def forward(self, x: Tensor, layout: Layout | None) -> tuple[Tensor, Tensor]:
        """Mixes features by class.

        Args:
            x: features of a stage (B, H, W, dim).
            layout: of its windows, which do not shift; None for the whole map.

        Returns:
            Features (B, H, W, dim) and the semantic map (B, H, W, K).
        """
        _, height, width, _ = x.shape
        x = self.norm1(x)
        attend = self.class_injection[0]
        if self.window is None or layout is None:
            x, q = attend(x.flatten(1, 2))
            return x.unflatten(1, (height, width)), q.unflatten(1, (height, width))
        x, q = attend(to_windows(x, self.window, layout))
        return from_windows(x, layout, height, width), from_windows(q, layout, height, width)
