"""SeMask-FPN: the backbone and its two decoders."""

from torch import Tensor, nn

from semask.model.backbone import SeMaskSwin
from semask.model.decoder import FPNHead, at_least_float32, decode_semantic_maps


class SeMaskFPN(nn.Module):
    """SeMask-FPN; `semask.model.build` makes one.

    The backbone gives features and semantic maps of four stages, the head logits from the features.
    """

    def __init__(self, backbone: SeMaskSwin, decode_head: FPNHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """What the mode needs, of normalised images (B, 3, H, W) of any size.

        In training ``(main, semantic)`` as `logits` gives them; in evaluation ``main`` alone, for
        which the semantic decoder does not run.
        """
        if self.training:
            return self.logits(images)
        features, _ = self.backbone(images)
        return at_least_float32(self.decode_head(features))

    def logits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Main and semantic logits of normalised images (B, 3, H, W), whatever the mode.

        Each is (B, K, ⌈H/4⌉, ⌈W/4⌉), float32 (float64 for a float64 model), under autocast too:
        they are resized, compared and exponentiated next.
        """
        features, semantic_maps = self.backbone(images)
        main = self.decode_head(features)
        return at_least_float32(main), at_least_float32(decode_semantic_maps(semantic_maps))
