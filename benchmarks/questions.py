"""What is measured: who is compared with whom, on which population, and what the target is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal, NamedTuple

from benchmarks.population import FIRST_PORT, QUIET_PORT

Population = Literal[
    "empty", "thousand", "ten thousand", "large", "peers", "huge", "time-wait", "waiting"
]
# In this order: TIME_WAIT stays for a minute, and would be in the way of what follows.
DEFAULT_SIZES: dict[Population, int] = {
    "empty": 0,
    "thousand": 1_000,
    "ten thousand": 10_000,
    "large": 200_000,
    "peers": 200_000,
    "huge": 1_000_000,
    "time-wait": 200_000,
    "waiting": 100_000,
}
DESCRIPTIONS: dict[Population, str] = {
    "peers": "each client with another address",
    "time-wait": "half of them TIME_WAIT",
    "waiting": "all of them TIME_WAIT",
}
LARGE = DEFAULT_SIZES["large"]

Command = tuple[str, ...]
PYTHON = sys.executable
NETINSPECT: Command = (PYTHON, "-m", "netinspect")
TCP: Command = (*NETINSPECT, "list", "--proto", "tcp")
TABLE: Command = (*TCP, "--no-owners")
NDJSON: Command = (*TCP, "--no-owners", "-o", "ndjson")
OWNED_TABLE: Command = TCP
OWNED_NDJSON: Command = (*TCP, "-o", "ndjson")
SUMMARY: Command = (*NETINSPECT, "summary", "--proto", "tcp")
QUIET: Command = ("--lport", str(QUIET_PORT))
BUSY: Command = ("--lport", str(FIRST_PORT))
SS: Command = ("ss", "-tan")
SS_OWNED: Command = ("ss", "-tanp")
SS_EXTENDED: Command = ("ss", "-tiemo")
TIME_WAIT: Command = (*NETINSPECT, "time-wait")
SS_TIME_WAIT: Command = ("ss", "-tan", "state", "time-wait")
LSOF: Command = ("lsof", "-nP", "-iTCP")
NETSTAT: Command = ("netstat", "-tan")
PSUTIL_TCP: Command = (PYTHON, "-c", "import psutil; print(psutil.net_connections('tcp'))")
PSUTIL: Command = (PYTHON, "-c", "import psutil; print(psutil.net_connections())")
IMPORT_CLICK: Command = (PYTHON, "-c", "import click")

MEMORY_WITHOUT_OWNERS_MB = 40
MEMORY_WITH_OWNERS_MB = 100
TIME_WAIT_MEMORY_MB = 60
GROWTH = 5.5
STARTUP_MS = 60


class Question(NamedTuple):
    """Two commands that are run in turn. The target is for the default size of the population."""

    name: str
    population: Population
    ours: Command
    theirs: Command
    target: float | None = None
    memory_target_mb: float | None = None
    rounds: int = 9
    is_slow: bool = False  # a run takes so long that warming up would say nothing
    is_difference: bool = False  # of CPU time, in place of a ratio of wall time

    @property
    def peer(self) -> str:
        """The other command, short."""
        return " ".join(self.theirs).replace(PYTHON, "python")


def _without_owners(population: Population) -> list[Question]:
    memory = MEMORY_WITHOUT_OWNERS_MB
    return [
        Question("table without owners", population, TABLE, SS, 1.0, memory),
        Question("NDJSON without owners", population, NDJSON, SS, 1.0, memory),
        Question("summary", population, SUMMARY, SS, 0.5, memory),
    ]


def _groups() -> list[Question]:
    ten_largest = (*SUMMARY, "--by", "remote_address", "--top", "10")
    return [
        Question("summary by state", "large", (*SUMMARY, "--by", "state"), SS),
        Question("summary by remote address, the 10 largest", "large", ten_largest, SS),
        Question("summary by remote address, the 10 largest", "peers", ten_largest, SS),
    ]


def _extended() -> list[Question]:
    return [
        Question("extended, table", "large", (*TABLE, "-e"), SS_EXTENDED, 1.5, rounds=3),
        Question("extended, NDJSON", "large", (*NDJSON, "-e"), SS_EXTENDED, 1.5, rounds=3),
    ]


def _with_owners() -> list[Question]:
    memory = MEMORY_WITH_OWNERS_MB
    ndjson, table = "NDJSON, all owners", "table, all owners"
    return [
        Question(ndjson, "large", OWNED_NDJSON, SS_OWNED, 0.08, memory, 2, is_slow=True),
        Question(table, "large", OWNED_TABLE, SS_OWNED, 0.08, memory, 1, is_slow=True),
        Question(ndjson, "large", OWNED_NDJSON, LSOF, 0.35, memory, 5),
        Question(table, "large", OWNED_TABLE, LSOF, 0.35, memory, 5),
        Question(ndjson, "large", OWNED_NDJSON, PSUTIL_TCP, rounds=3),
    ]


def _one_port() -> list[Question]:
    quiet, busy = "one port, 2 sockets", "one port, one socket in 20"
    in_ss = (*SS, f"sport = :{QUIET_PORT}")
    return [
        Question(quiet, "large", (*TABLE, *QUIET), SS, 0.3),
        Question(busy, "large", (*TABLE, *BUSY), SS, 0.3),
        Question(quiet, "large", (*TABLE, *QUIET), in_ss),
        Question(f"{quiet}, with owners", "large", (*TCP, *QUIET), SS),
    ]


def _by_expression() -> list[Question]:
    """The same by an expression: one that all sockets meet, and one for a port."""
    every, quiet = "sport >= :0", f"sport = :{QUIET_PORT}"
    return [
        Question("table, by an expression", "large", (*TABLE, every), SS, 1.0),
        Question("NDJSON, by an expression", "large", (*NDJSON, every), SS, 1.0),
        Question("summary, by an expression", "large", (*SUMMARY, every), SS, 0.5),
        Question("one port, by an expression", "large", (*TABLE, quiet), SS, 0.3),
    ]


def _small() -> list[Question]:
    every = (*NETINSPECT, "list")
    return [
        Question("start-up", "empty", every, IMPORT_CLICK, STARTUP_MS, None, 20, False, True),
        Question("everything, all owners", "thousand", every, PSUTIL, 1.0, None, 20),
        Question("NDJSON, all owners", "ten thousand", OWNED_NDJSON, SS_OWNED, 1.0, None, 20),
        Question("NDJSON, all owners", "ten thousand", OWNED_NDJSON, LSOF, 0.7, None, 20),
        Question("table, all owners", "ten thousand", OWNED_TABLE, SS_OWNED, 1.0, None, 20),
        Question("table, all owners", "ten thousand", OWNED_TABLE, LSOF, 0.7, None, 20),
    ]


def _huge() -> list[Question]:
    """For growth: the ratios to ss have no target here."""
    return [
        Question("table without owners", "huge", TABLE, SS, rounds=3),
        Question("NDJSON without owners", "huge", NDJSON, SS, rounds=3),
        Question("NDJSON, all owners", "huge", OWNED_NDJSON, LSOF, rounds=2, is_slow=True),
    ]


QUESTIONS: list[Question] = [
    *_small(),
    *_without_owners("large"),
    Question("NDJSON without owners", "large", NDJSON, NETSTAT, rounds=5),
    *_one_port(),
    *_by_expression(),
    *_groups()[:2],
    *_extended(),
    *_with_owners(),
    *_without_owners("peers")[:2],
    *_groups()[2:],
    *_huge(),
    *_without_owners("time-wait"),
    Question("time-wait", "waiting", TIME_WAIT, SS_TIME_WAIT, 1.2, TIME_WAIT_MEMORY_MB, 15),
]


def sizes(sockets: int) -> dict[Population, int]:
    """How large each population is when this is the largest; without those that are larger.

    Only the largest sizes move: a thousand stays a thousand.
    """
    wanted: dict[Population, int] = {**DEFAULT_SIZES, "huge": sockets}
    for population in ("large", "peers", "time-wait"):
        wanted[population] = min(sockets, LARGE)
    wanted["waiting"] = min(sockets, DEFAULT_SIZES["waiting"])
    if sockets <= LARGE:
        del wanted["huge"]
    return {population: size for population, size in wanted.items() if size <= sockets}


def select(
    questions: list[Question], is_wanted: Callable[[Question], bool], *, is_quick: bool
) -> list[Question]:
    """The questions to ask; when it has to be quick, fewer rounds and nothing slow."""
    chosen = [q for q in questions if is_wanted(q)]
    if not is_quick:
        return chosen
    return [q._replace(rounds=min(q.rounds, 3)) for q in chosen if not q.is_slow]
