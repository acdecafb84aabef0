"""Gives the task its loss as one callback: pixel, perceptual, edge and frequency terms, and when they begin.

As a callback, so that no frozen network enters the model.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from aio.errors import InputError
from aio.losses.edge import EdgeDifference, EdgeWeighted
from aio.losses.frequency import Frequency
from aio.losses.mixture import Mixture
from aio.losses.perceptual import Perceptual
from aio.losses.pixel import PIXEL_LOSSES, LossType, NegativePSNR
from aio.nets.base import RestorationNet
from aio.task import RestorationTask


class MixedLoss(L.Callback):
    """Charbonnier + 0.1 perceptual (VGG-16) + 0.05 Sobel edge by default.

    Args:
        loss_type: the pixel loss; `psnr` is the negative PSNR in dB.
        pixel_weight: its weight.
        psnr_ceiling: of `psnr`, in dB: an image that is better gains nothing more.
        psnr_ceiling_last: what it rises to, evenly from the first epoch to the last; by default it stays. Low at first,
            it lets the worst images lead; high at last, it lets good ones become better.
        perceptual_weight: of the VGG-16 feature distance; 0 loads no VGG.
        edge_weight: of the edge term.
        edge_mode: `add` compares the gradients; `multiply` weighs the absolute error by the clean image's gradient.
        vgg_weights: file with the weights of VGG-16; by default timm fetches them.
        frequency_weight: of the distance of the Fourier transforms, which are not normalised.
        start_epoch: epochs before which only the net's own losses train; all terms are logged from the first one.
    """

    def __init__(
        self,
        *,
        loss_type: LossType = "charbonnier",
        pixel_weight: float = 1.0,
        psnr_ceiling: float = 80.0,
        psnr_ceiling_last: float | None = None,
        perceptual_weight: float = 0.1,
        edge_weight: float = 0.05,
        edge_mode: Literal["add", "multiply"] = "add",
        vgg_weights: str | None = None,
        frequency_weight: float = 0.0,
        start_epoch: int = 0,
    ) -> None:
        if start_epoch < 0:
            raise InputError(f"loss.start_epoch {start_epoch}: expected a whole number of at least 0")
        self.loss_type, self.psnr_ceiling, self.psnr_ceiling_last = loss_type, psnr_ceiling, psnr_ceiling_last
        self.pixel_weight, self.perceptual_weight, self.edge_weight = pixel_weight, perceptual_weight, edge_weight
        self.edge_mode, self.vgg_weights = edge_mode, vgg_weights
        self.frequency_weight, self.start_epoch = frequency_weight, start_epoch
        self._mixture: Mixture | None = None

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            task = cast(RestorationTask, pl_module)
            self.check_start(task.net, trainer.max_epochs)
            self._check_ceiling(trainer.max_epochs)
            # the module itself comes to its device only after this hook
            task.criterion = self.build().to(trainer.strategy.root_device)

    def check_start(self, net: RestorationNet, max_epochs: int | None) -> None:
        """Raises InputError if nothing would train before `start_epoch`, or nothing but the net's own losses ever."""
        if not self.start_epoch:
            return
        if not net.own_losses:
            raise InputError(
                f"loss.start_epoch {self.start_epoch}: {type(net).__name__} has no losses of its own to train by "
                "before that: expected 0"
            )
        if max_epochs is not None and 0 < max_epochs <= self.start_epoch:
            raise InputError(
                f"loss.start_epoch {self.start_epoch} of {max_epochs} epochs: expected fewer, as restoring is learnt "
                "after them alone"
            )

    def _check_ceiling(self, max_epochs: int | None) -> None:
        if self.psnr_ceiling_last is None:
            return
        if self.loss_type != "psnr":
            raise InputError(f"loss.psnr_ceiling_last {self.psnr_ceiling_last}: {self.loss_type} has no ceiling")
        if max_epochs is None or max_epochs < 1:
            raise InputError(
                f"loss.psnr_ceiling_last {self.psnr_ceiling_last}: it is that of the last epoch: expected --epochs N"
            )

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        mixture, epoch = self.build(), trainer.current_epoch
        mixture.factor = float(epoch >= self.start_epoch)
        if self.psnr_ceiling_last is not None and "psnr" in mixture.terms:
            share = epoch / max(1, cast(int, trainer.max_epochs) - 1)
            rise = share * (self.psnr_ceiling_last - self.psnr_ceiling)
            cast(NegativePSNR, mixture.terms["psnr"][0]).ceiling = self.psnr_ceiling + rise

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        """Before `start_epoch`, what the criterion alone trains rests: a gradient of zero becomes none.

        Weight decay would shrink these weights, and Adam would count the steps: its moments of zero would then pass for
        well-known ones, and the first real steps be six times as long as the rate says.
        """
        if trainer.current_epoch < self.start_epoch:
            trained = [p for p in pl_module.parameters() if p.grad is not None]
            largest = torch.stack([cast(Tensor, p.grad).abs().amax().float() for p in trained]).tolist()
            for parameter in (p for p, size in zip(trained, largest, strict=True) if size == 0):
                parameter.grad = None

    def build(self) -> Mixture:
        """The loss, built on the first call.

        Raises:
            InputError: the weights of VGG-16 are not at hand.
        """
        if self._mixture is None:
            self._mixture = self._build()
        return self._mixture

    def _build(self) -> Mixture:
        pixel = NegativePSNR(self.psnr_ceiling) if self.loss_type == "psnr" else PIXEL_LOSSES[self.loss_type]()
        terms = {
            self.loss_type: (pixel, self.pixel_weight),
            "edge": (EdgeDifference() if self.edge_mode == "add" else EdgeWeighted(), self.edge_weight),
            "frequency": (Frequency(), self.frequency_weight),
        }
        if self.perceptual_weight:
            terms["perceptual"] = (Perceptual(self.vgg_weights), self.perceptual_weight)
        return Mixture(**terms)
