"""FSDP2 as a strategy of Lightning: every rank keeps a share of weights, gradients and moments."""

from __future__ import annotations

from typing import cast

from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy, Strategy

from aio.errors import InputError
from aio.nets.sharding import shard
from aio.task import RestorationTask


class FullySharded(ModelParallelStrategy):
    """All processes of all machines as one group, over which the net of the task is sharded.

    Checkpoints are those of one process: whole, in one file, written by rank 0. Any number of ranks goes on from them.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()
        # Lightning asks for this hook; in the task's class it would be there for all strategies.
        vars(self.lightning_module)["configure_model"] = self._shard

    def _shard(self) -> None:
        shard(cast(RestorationTask, self.lightning_module).net, self.device_mesh["data_parallel"])


def refuse_sharded_average(strategy: Strategy, decay: float) -> None:
    """Raises InputError where weights are sharded and averaged.

    Lightning's averaging copies the whole module and swaps its state for validation and checkpoints; a copy of sharded
    modules is none.
    """
    if decay and isinstance(strategy, (ModelParallelStrategy, FSDPStrategy)):
        raise InputError(
            f"--ema_decay {decay}: sharded weights ({type(strategy).__name__}) are not averaged: give --ema_decay 0"
        )
