"""Paths of control groups: of a socket the kernel tells only the number."""

from __future__ import annotations

import os
from collections.abc import Iterator

from netinspect.model import decode_name

MOUNTS = "/proc/self/mounts"


class CgroupPaths(dict[int, "str | None"]):
    """Path below the cgroup2 mount by id; None for a group that is gone, or hidden from here.

    The id is the inode number of the group's directory. The tree is walked only as far as it takes
    to find what was asked for; who may not walk it finds nothing.
    """

    def __init__(self, mounts: str = MOUNTS) -> None:
        self._walk = _walk(cgroup_mount(mounts))

    def __missing__(self, cgroup_id: int) -> str | None:
        for number, path in self._walk:
            self[number] = path
            if number == cgroup_id:
                return path
        self[cgroup_id] = None
        return None


def cgroup_mount(mounts: str = MOUNTS) -> str | None:
    r"""Where the tree of cgroup2 is mounted: the first mount of its type.

    A line of /proc/self/mounts, with blanks in a path as `\040`:

        cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0
    """
    try:
        with open(mounts, "rb") as file:
            fields = [line.split() for line in file]
    except OSError:
        return None
    for field in fields:
        if field[2:3] == [b"cgroup2"]:
            return os.fsdecode(field[1].decode("unicode_escape").encode("latin-1"))
    return None


def _walk(mount: str | None) -> Iterator[tuple[int, str]]:
    """Inode number and path of each directory, those near the root first."""
    if mount is None:
        return
    try:
        yield os.stat(mount).st_ino, "/"
    except OSError:
        return
    folders = [""]
    for folder in folders:
        for number, path in _subfolders(mount, folder):
            folders.append(path)
            yield number, decode_name(os.fsencode(path))


def _subfolders(mount: str, folder: str) -> list[tuple[int, str]]:
    try:
        with os.scandir(f"{mount}{folder}") as entries:
            return [
                (entry.inode(), f"{folder}/{entry.name}")
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
            ]
    except OSError:  # removed meanwhile
        return []
