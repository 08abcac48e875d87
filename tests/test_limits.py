"""What may run out, read from a /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netinspect.limits import FileUse
from netinspect.sources.limits import read_limits


def test_what_is_not_there(tmp_path: Path) -> None:
    assert read_limits(str(tmp_path)) == (None, None, None, None, False)


def test_this_process() -> None:
    limits = read_limits("/proc")
    assert limits.file_uses is not None
    (ours,) = (use for use in limits.file_uses if use.pid == os.getpid())
    assert ours.open <= len(os.listdir("/proc/self/fd")) + 1
    assert ours.open >= 3


@pytest.mark.parametrize("is_hidden", [False, True])
def test_hidepid(tmp_path: Path, *, is_hidden: bool) -> None:
    """Process 1 is in every namespace: where it is not seen, others are not either."""
    numbers = ["7"] if is_hidden else ["1", "7"]
    for number in (*numbers, "self"):
        (tmp_path / number / "fd").mkdir(parents=True)
        (tmp_path / number / "comm").write_bytes(b"nginx\n")
        (tmp_path / number / "limits").write_bytes(
            b"Max open files            64                   128                  files\n"
        )
    limits = read_limits(str(tmp_path))
    assert limits.has_hidden_files is is_hidden
    assert limits.file_uses is not None
    size = os.stat(tmp_path / "7" / "fd").st_size
    assert FileUse(7, "nginx", size, 64) in limits.file_uses
