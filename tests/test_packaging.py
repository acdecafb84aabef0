"""What the wheel will hold."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_listed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    found = {
        p.parent.relative_to(ROOT / "src").as_posix().replace("/", ".") for p in ROOT.glob("src/aio/**/__init__.py")
    }
    assert listed == found | {"aio.conf"}
