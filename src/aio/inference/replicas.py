"""One net as several copies that share out its batches: on GPUs one each, on a CPU threads that split its cores.

Operations on small maps gain little from many cores, and wait for all of them at their ends; copies do not wait.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier

import torch
from torch import Tensor, nn

from aio.errors import InputError
from aio.nets.base import CONTRACT, RestorationNet


def replicate(net: RestorationNet, count: int) -> RestorationNet:
    """`net`, in eval mode, as `count` copies for inference: itself and others beside it; for 1 it is `net` as it is.

    On a GPU copies take that one and the next ones; on the CPU they share their weights.

    Raises:
        InputError: there are not as many GPUs, or the net lies on a device of another kind.
    """
    if count == 1:
        return net
    device = next(net.parameters()).device
    if device.type == "cpu":
        return Replicated(net=net, devices=[device] * count)
    if device.type != "cuda":
        raise InputError(f"--replicas {count}: expected 1 on {device}; copies are for several GPUs, or a CPU's cores")
    there = torch.cuda.device_count()
    if count > there:
        raise InputError(f"--replicas {count}: there are {there} GPUs, expected at most as many")
    first = device.index or 0
    return Replicated(net=net, devices=[torch.device("cuda", (first + i) % there) for i in range(count)])


class Replicated(RestorationNet):
    """`net` and a copy of it for each further one of `devices`; a batch is split among them, each with its own thread.

    A batch of one goes through `net` itself. Copies are made once: what is done to the net later need not reach them.
    """

    def __init__(self, *, net: RestorationNet, devices: Sequence[torch.device]) -> None:
        super().__init__()
        for name in CONTRACT:
            setattr(self, name, getattr(net, name))
        self.net = net
        self.devices = tuple(devices)
        self._copies = (net, *(copy_on(net, device, share=True) for device in devices[1:]))
        self._threads = _threads(len(devices))
        self.train(net.training)

    def forward(self, image: Tensor, task: Tensor | None = None) -> Tensor:
        if len(image) == 1:
            return self.net(image, task)
        images = image.chunk(len(self._copies))
        tasks = [None] * len(images) if task is None else task.split([len(part) for part in images])
        kind = image.device.type
        dtype, mixed = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)

        def run(number: int) -> Tensor:
            told, device = tasks[number], self.devices[number]
            with torch.inference_mode(), torch.autocast(kind, dtype, mixed):  # these hold for one thread alone
                out = self._copies[number](images[number].to(device), None if told is None else told.to(device))
                return out.to(image.device)

        parts = [self._threads.submit(run, number) for number in range(len(images))]
        wait(parts)  # so that where one fails, nothing of the others is left when the batch is tried anew
        return torch.cat([part.result() for part in parts])


def copy_on(net: RestorationNet, device: torch.device, *, share: bool = False) -> RestorationNet:
    """A copy of `net` on `device` that does not train; with `share`, what lies there already belongs to both."""

    def there(tensor: Tensor) -> Tensor:
        return tensor.detach() if share and tensor.device == device else tensor.detach().to(device, copy=True)

    net = net.net if isinstance(net, Replicated) else net
    buffers = {id(buffer): there(buffer) for buffer in net.buffers()}
    weights = {id(weight): nn.Parameter(there(weight), False) for weight in net.parameters()}
    return copy.deepcopy(net, buffers | weights)


def _threads(count: int) -> ThreadPoolExecutor:
    """Threads that share the cores of this one; OpenMP and MKL keep the number for each thread."""
    mine = torch.get_num_threads()
    ready = Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first use of the number sets it anew
        torch.set_num_threads(max(1, mine // count))
        ready.wait()

    threads = ThreadPoolExecutor(count, thread_name_prefix="replica")
    for _ in range(count):
        threads.submit(start)
    ready.wait()
    torch.set_num_threads(mine)  # threads to come start with the number that was set last
    return threads
