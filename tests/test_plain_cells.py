"""The short way through a row tells what the long way does, or nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from netinspect.errors import CellError
from netinspect.model import Connection
from netinspect.parse import fstat, netstat_bsd, netstat_windows, sockstat
from netinspect.parse.captured import Faults
from tests.bsd_sockets import ANSWERS
from tests.test_netstat_windows import CAPTURE

Way = Callable[[str], Connection | None]
SEED = 5
DAMAGE = "0 .:*[]?%-x65536 LISTEN"


def netstat() -> netstat_bsd.Netstat:
    return netstat_bsd.Netstat(Faults(), is_wide=False, tells_dual=True)


def layout(header: str) -> sockstat.Layout:
    match = sockstat.HEADER.match(header)
    assert match
    return sockstat.layout_of(match, header)


def sockstat_ways(root: str) -> tuple[str, Way, Way]:
    text = ANSWERS[root]["sockstat"]
    columns = layout(text.partition("\n")[0])
    return (
        text,
        lambda line: sockstat.plain_socket(line, columns),
        lambda line: sockstat.any_socket(line, columns, Faults()),
    )


WAYS: dict[str, tuple[str, Way, Way]] = {
    "freebsd": (
        ANSWERS["freebsd12"]["netstat-text"],
        lambda line: netstat().connection(line),
        lambda line: netstat().socket(line),
    ),
    "openbsd": (
        ANSWERS["openbsd7"]["netstat-wide"],
        lambda line: netstat().connection(line),
        lambda line: netstat().socket(line),
    ),
    "windows": (
        CAPTURE,
        netstat_windows.plain_socket,
        lambda line: netstat_windows.any_socket(line, Faults()),
    ),
    "fstat": (
        ANSWERS["openbsd7"]["fstat"].replace("c u:rl 1 2", "curl      "),
        fstat.plain_socket,
        lambda line: fstat.any_socket(line, Faults(), is_peer_first=False),
    ),
    "sockstat": sockstat_ways("freebsd12"),
    "sockstat 15": sockstat_ways("freebsd15"),
    "sockstat NetBSD": sockstat_ways("netbsd10"),
}


def damaged(line: str, rng: random.Random) -> str:
    """The line with some characters changed, taken out or put in."""
    for _ in range(rng.randint(0, 2)):
        place = rng.randrange(len(line) + 1)
        line = line[:place] + rng.choice(["", *DAMAGE]) + line[place + rng.randint(0, 1) :]
    return line


@pytest.mark.parametrize("name", WAYS)
def test_both_ways_tell_the_same(name: str) -> None:
    text, short, long = WAYS[name]
    lines = [line.rstrip("\r") for line in text.split("\n")]
    assert any(map(short, lines))
    rng = random.Random(SEED)  # noqa: S311 nothing is to be kept secret
    for line in lines + [damaged(line, rng) for line in lines for _ in range(100)]:
        found = short(line)
        if found is None:
            continue
        try:
            expected = long(line)
        except CellError as error:
            raise AssertionError(line) from error
        assert found == expected, line
