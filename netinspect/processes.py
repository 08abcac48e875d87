"""What a process is, beyond its number and name: from /proc/<pid>.

"java" helps nobody who looks for the owner of a port; its arguments, its unit and its container do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from netinspect.errors import ParseError
from netinspect.model import Connection, Note, Owner, ParentProcess, Runtime
from netinspect.parse.cgroup import Place, parse_cgroup
from netinspect.parse.proc_pid import (
    Stat,
    parse_boot_time,
    parse_command_line,
    parse_effective_uid,
    parse_executable,
    parse_stat,
    start_time,
)
from netinspect.sources.names import UserNames
from netinspect.sources.proc_net import TICKS_PER_SECOND

T = TypeVar("T")


class ProcessDetails(NamedTuple):
    """What the keys of an `Owner` behind `fd` tell, in their order."""

    command_line: tuple[str, ...] | None = None
    executable: str | None = None
    executable_deleted: bool | None = None
    parents: tuple[ParentProcess, ...] | None = None
    user: str | None = None
    unit: str | None = None
    container: str | None = None
    runtime: Runtime | None = None
    started_at: str | None = None


class Processes:
    """The processes below `root`, each looked at once.

    What has ended, or what this system has no /proc for, has no details: all are None.
    """

    def __init__(self, root: str = "/proc") -> None:
        self._root = root
        self._details: dict[int, ProcessDetails] = {}
        self._stats: dict[int, Stat | None] = {}
        self._users = UserNames()
        self._hidden: set[int] = set()

    def details(self, pid: int) -> ProcessDetails:
        """All that can be had of a process."""
        found = self._details.get(pid)
        if found is None:
            found = self._details[pid] = self._look_at(pid)
        return found

    def describe(self, connections: Iterable[Connection]) -> list[Connection]:
        """The same connections, with the details of their owners."""
        return [
            replace(c, owners=tuple(map(self._described, c.owners))) if c.owners else c
            for c in connections
        ]

    def note(self) -> Note | None:
        """What to say of the processes looked at so far that are not shown whole."""
        count = len(self._hidden)
        if not count:
            return None
        processes = "1 process" if count == 1 else f"{count} processes"
        way_out = "" if os.geteuid() == 0 else "; run as root to see all"
        message = f"some details of {processes} may not be read{way_out}"
        return Note("process_details_hidden", count, message)

    def _described(self, owner: Owner) -> Owner:
        return Owner(owner.pid, owner.process, owner.fd, *self.details(owner.pid))

    def _look_at(self, pid: int) -> ProcessDetails:
        stat = self._stat(pid)
        if stat is None:
            return ProcessDetails()
        executable, is_deleted = self._executable(pid) or (None, None)
        uid = self._read(pid, "status", parse_effective_uid)
        place = self._read(pid, "cgroup", parse_cgroup) or Place()
        return ProcessDetails(
            command_line=self._read(pid, "cmdline", parse_command_line),
            executable=executable,
            executable_deleted=is_deleted,
            parents=tuple(self._ancestors(stat)),
            user=None if uid is None else self._users[uid] or str(uid),
            unit=place.unit,
            container=place.container,
            runtime=place.runtime,
            started_at=self._start_time(stat),
        )

    def _stat(self, pid: int) -> Stat | None:
        if pid not in self._stats:
            self._stats[pid] = self._read(pid, "stat", parse_stat)
        return self._stats[pid]

    def _ancestors(self, child: Stat) -> Iterator[ParentProcess]:
        """Ends at pid 1, at the first that may not be seen, or outside of this PID namespace."""
        passed: set[int] = set()  # a number that is used again could make a ring
        stat: Stat | None = child
        while stat and (pid := stat.parent) and pid not in passed:
            passed.add(pid)
            stat = self._stat(pid)
            yield ParentProcess(pid, stat.name if stat else None)

    def _start_time(self, stat: Stat) -> str | None:
        boot_time = self._boot_time
        return (
            None if boot_time is None else start_time(boot_time, stat.start_ticks, TICKS_PER_SECOND)
        )

    @cached_property
    def _boot_time(self) -> int | None:
        try:
            with open(f"{self._root}/stat", "rb") as file:
                return parse_boot_time(file.read())
        except (OSError, ParseError):
            return None

    def _executable(self, pid: int) -> tuple[str, bool] | None:
        try:
            return parse_executable(os.readlink(os.fsencode(f"{self._root}/{pid}/exe")))
        except PermissionError:
            self._hidden.add(pid)
        except OSError:  # it has ended, or is the kernel's own
            pass
        return None

    def _read(self, pid: int, name: str, parse: Callable[[bytes], T]) -> T | None:
        """What a file of the process tells; None when it has ended or that may not be read."""
        try:
            with open(f"{self._root}/{pid}/{name}", "rb") as file:
                return parse(file.read())
        except PermissionError:
            self._hidden.add(pid)
        except (OSError, ParseError):
            pass
        return None
