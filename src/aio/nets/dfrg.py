"""DFRG, dynamic feature refinement gate: scales a map by what its statistics say about the degradation.

Source: the enhanced all-in-one Restormer with LoRA and gates, whose experts are computed and never used. Here they
are used, unless `use_experts` is off.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aio.nets.lora import Pointwise, pointwise

NUM_EXPERTS = 5
UNKNOWN_TASK = -1


class DFRG(nn.Module):
    """A channel gate from the pooled map, times a spatial gate from the channels' mean and maximum.

    Args:
        dim: channels of the map.
        use_experts: with them, five experts each hold a channel gate's logits and a shift. The mixture is softmax of
            logits from the pooled features (blind), to which the row of the task id is added where one is given; both
            gates are doubled sigmoids whose last layers start at zero, so that the module starts near identity.
            Without them, it is the seed: `x * sigmoid(channel) * sigmoid(spatial)`.
        num_tasks: ids the experts can be told; -1 is unknown.
        conv: makes the seed's 1x1 convolutions from inputs, outputs and bias; with experts they are dense.
    """

    def __init__(
        self,
        dim: int,
        *,
        use_experts: bool = True,
        num_tasks: int = 32,
        conv: Pointwise = pointwise,
    ) -> None:
        super().__init__()
        hidden = dim // 4
        if use_experts:
            conv = pointwise  # on a map of one pixel, low rank has no context, and BatchNorm needs a batch
        self.use_experts = use_experts
        self.fc1 = conv(dim * 2, hidden)
        self.fc2 = conv(hidden, dim)
        self.expert_selector = nn.Sequential(conv(hidden, NUM_EXPERTS, bias=True))
        spatial = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        self.spatial_gate = nn.Sequential(spatial)
        if use_experts:
            self.experts = nn.Parameter(torch.randn(NUM_EXPERTS, dim * 2) * 0.02)
            # Each task starts with a preference for one expert, or all experts would learn the same.
            self.task_logits = nn.Parameter(2 * torch.eye(NUM_EXPERTS)[torch.arange(num_tasks) % NUM_EXPERTS])
            for last in (*self.fc2.parameters(), spatial.weight):
                nn.init.zeros_(last)
        else:
            # It counts and is stored, but gets no gradient, for which DistributedDataParallel would wait.
            self.expert_selector.requires_grad_(False)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        pooled = torch.cat([x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)], dim=1)
        squeezed = self.fc1(pooled).relu()
        channel = self.fc2(squeezed)
        spatial = self.spatial_gate(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)).sigmoid()
        if not self.use_experts:
            return x * channel.sigmoid() * spatial
        scale, shift = self._mixture(squeezed, task)[..., None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x * (4 * (channel + scale).sigmoid()), spatial)

    def _mixture(self, squeezed: Tensor, task: Tensor) -> Tensor:
        """The experts' rows `(B, 2 dim)`, weighted by the features and by the task where it is known."""
        told = self.task_logits[task.clamp_min(0)] * (task != UNKNOWN_TASK)[:, None]
        return (self.expert_selector(squeezed).flatten(1) + told).softmax(dim=1) @ self.experts
