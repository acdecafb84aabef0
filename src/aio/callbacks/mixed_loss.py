"""Gives the task its loss: pixel + perceptual + edge, as one callback, so that no frozen network enters the model."""

from __future__ import annotations

from typing import Literal, cast

import lightning as L

from aio.losses.edge import EdgeDifference, EdgeWeighted
from aio.losses.mixture import Mixture
from aio.losses.perceptual import Perceptual
from aio.losses.pixel import PIXEL_LOSSES, LossType
from aio.task import RestorationTask


class MixedLoss(L.Callback):
    """Charbonnier + 0.1 perceptual (VGG-16) + 0.05 Sobel edge by default.

    Args:
        loss_type: the pixel loss.
        pixel_weight: its weight.
        perceptual_weight: of the VGG-16 feature distance; 0 loads no VGG.
        edge_weight: of the edge term.
        edge_mode: `add` compares the gradients; `multiply` weighs the absolute error by the clean image's gradient.
        vgg_weights: file with the weights of VGG-16; by default timm fetches them.
    """

    def __init__(
        self,
        *,
        loss_type: LossType = "charbonnier",
        pixel_weight: float = 1.0,
        perceptual_weight: float = 0.1,
        edge_weight: float = 0.05,
        edge_mode: Literal["add", "multiply"] = "add",
        vgg_weights: str | None = None,
    ) -> None:
        self.loss_type = loss_type
        self.pixel_weight, self.perceptual_weight, self.edge_weight = pixel_weight, perceptual_weight, edge_weight
        self.edge_mode, self.vgg_weights = edge_mode, vgg_weights
        self._mixture: Mixture | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            # the module itself comes to its device only after this hook
            cast(RestorationTask, pl_module).criterion = self.build().to(trainer.strategy.root_device)

    def build(self) -> Mixture:
        """The loss, built on the first call.

        Raises:
            InputError: the weights of VGG-16 are not at hand.
        """
        if self._mixture is None:
            self._mixture = self._build()
        return self._mixture

    def _build(self) -> Mixture:
        terms = {
            self.loss_type: (PIXEL_LOSSES[self.loss_type](), self.pixel_weight),
            "edge": (EdgeDifference() if self.edge_mode == "add" else EdgeWeighted(), self.edge_weight),
        }
        if self.perceptual_weight:
            terms["perceptual"] = (Perceptual(self.vgg_weights), self.perceptual_weight)
        return Mixture(**terms)
