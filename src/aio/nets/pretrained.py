"""Nets as folders and on the Hugging Face Hub: `save_pretrained`, `from_pretrained`, `push_to_hub`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Self, cast

from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from aio.errors import InputError
from aio.nets.folder import CONFIG, WEIGHTS, check_finite, first_line, read_config, read_weights, write_folder

_CARD: Final = """\
---
{{ card_data }}
---

# {{ net }}

Weights of an image restoration network; `config.json` names its class and arguments.

```python
from aio.nets.base import RestorationNet

net = RestorationNet.from_pretrained("this folder, or USER/NAME on the Hub")
```
"""


class Pretrained(nn.Module, PyTorchModelHubMixin, pipeline_tag="image-to-image", model_card_template=_CARD):
    """A module which can be saved to a folder, opened from one or from the Hub, and pushed there.

    Two of the mixin's methods are replaced. Here the folder names the class, so that its base can open any net; files
    are written whole or not at all; and whatever is wrong with one is said by its name.
    """

    config: dict[str, Any]

    def save_pretrained(  # type: ignore[override]  # without what uploads at once: that is `push_to_hub`
        self, save_directory: str | Path, *, config: None = None, model_card_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Writes `config.json`, `model.safetensors` and, where there is none, a model card `README.md`.

        Args:
            save_directory: the folder; made when it is missing.
            config: None, as `push_to_hub` gives it; a net says itself what it is.
            model_card_kwargs: for the template of the model card.

        Raises:
            InputError: the folder is a file, or `from_pretrained` would refuse this net.
        """
        from aio.nets.building import net_class  # needs the finished class of all nets

        folder = Path(save_directory)
        if config is not None or folder.is_file():
            raise InputError(f"{folder}: expected a folder to write to, and no config beside the net's own")
        named = net_class(self.config, folder / CONFIG).__name__
        if named != type(self).__name__:
            raise InputError(f"{folder}: expected a {named}, not a {type(self).__name__} round one")
        card = self.generate_model_card(**{"net": type(self).__name__, **(model_card_kwargs or {})})
        write_folder(folder, self.config, self.state_dict(), str(card))

    @classmethod
    def from_pretrained(  # type: ignore[override]  # without arguments beside those in the folder
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> Self:
        """The net in a folder, in eval mode: of this class, or of one derived from it.

        Args:
            pretrained_model_name_or_path: a folder, or `USER/NAME` on the Hub where there is no such folder.
            force_download: downloads again what is in the cache.
            token: for a private repository.
            cache_dir: of the Hub's files.
            local_files_only: looks for a repository in the cache alone.
            revision: branch, tag or commit of a repository.

        Raises:
            InputError: there is no such folder, it holds another net, or a file in it is missing or broken.
        """
        from aio.nets.building import build_net, fill, net_class

        download = {"force_download": force_download, "token": token, "cache_dir": cache_dir}
        download |= {"local_files_only": local_files_only, "revision": revision}
        folder = _folder(pretrained_model_name_or_path, download)
        config = read_config(folder)
        found = net_class(config, folder / CONFIG)
        if not issubclass(found, cls):
            raise InputError(f"{folder / CONFIG}: names a {found.__name__}, expected a {cls.__name__}")
        state = read_weights(folder / WEIGHTS)
        check_finite(state, folder / WEIGHTS)
        net = build_net(config, folder / CONFIG)
        fill(net, state, folder / WEIGHTS)
        return cast(Self, net.eval())


def _folder(name: str | Path, download: dict[str, Any]) -> Path:
    """The folder `name`; where there is none, the cache's copy of that repository."""
    if isinstance(name, Path) or Path(name).exists():
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS], **download))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise InputError(f"{name}: no such folder, nor a repository to be had ({first_line(error)})") from error
