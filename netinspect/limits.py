"""What may run out besides ports."""

from __future__ import annotations

from typing import NamedTuple


class FileUse(NamedTuple):
    """The file descriptors of a process. `limit` is the soft RLIMIT_NOFILE."""

    pid: int
    process: str | None
    open: int
    limit: int


class SystemLimits(NamedTuple):
    """How much there is, and of how much at most; None where it is not told."""

    conntrack_count: int | None = None
    conntrack_max: int | None = None
    max_orphans: int | None = None
    file_uses: tuple[FileUse, ...] | None = None
    has_hidden_files: bool = False  # of processes that may not be looked into
