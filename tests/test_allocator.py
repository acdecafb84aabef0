"""Freed memory that is kept is not asked of the kernel again: counted in page faults."""

import platform
import subprocess
import sys

import pytest

from aio import allocator

COUNTED = """
import resource, sys
from aio.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for round in range(20):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = b'x' * 2**26  # 16,384 pages; below 32 MiB glibc learns to keep blocks by itself
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(word):
    done = subprocess.run([sys.executable, "-c", COUNTED, word], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_blocks_are_used_again():
    assert faults("kept") < 100
    assert faults("given back") > 18 * 16000


@pytest.mark.parametrize("platform_name", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch, platform_name):
    monkeypatch.setattr(sys, "platform", platform_name)
    assert not allocator.keep_freed_memory()


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert not allocator.keep_freed_memory()
