"""`python -m benchmarks.captures`: reading captured output, beside a plain `split()` of its lines.

Processor time of whole processes minus their start-up, which is a run on a capture of a few rows;
the least of some rounds on each side. It needs no rights and opens no sockets.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from benchmarks.measure import MeasureError, run
from benchmarks.questions import LARGE, NETINSPECT, PYTHON
from benchmarks.report import quantity

TARGET = 12.0
ROUNDS = 5
FEW = 10  # rows of the capture that shows what starting takes
SPLIT = "import sys\nfor line in open(sys.argv[1]): line.split()"
STATES = ("ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT")


class Row(NamedTuple):
    """What a capture says of one connection."""

    state: str
    local: str
    local_port: int
    remote: str
    remote_port: int


def rows(count: int) -> Iterator[Row]:
    """A server on a few addresses, and clients of which each has another one."""
    for n in range(count):
        remote = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        yield Row(STATES[n % 3], f"192.168.0.{n % 20}", 443, remote, 1024 + n % 60_000)


def netstat(count: int) -> Iterator[str]:
    """GNU netstat -tan."""
    yield "Active Internet connections (servers and established)"
    yield "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
    for row in rows(count):
        local, remote = f"{row.local}:{row.local_port}", f"{row.remote}:{row.remote_port}"
        yield f"tcp        0      0 {local:<23} {remote:<23} {row.state:<11}"


def ss(count: int) -> Iterator[str]:
    """`ss -tan`."""
    names = {"ESTABLISHED": "ESTAB", "TIME_WAIT": "TIME-WAIT", "CLOSE_WAIT": "CLOSE-WAIT"}
    yield "State      Recv-Q Send-Q Local Address:Port  Peer Address:Port Process"
    for row in rows(count):
        local, remote = f"{row.local}:{row.local_port:<5}", f"{row.remote}:{row.remote_port:<5}"
        yield f"{names[row.state]:<10} 0      0      {local:>20} {remote:>20}       "


def proc(count: int) -> Iterator[str]:
    """/proc/net/tcp."""
    numbers = {"ESTABLISHED": 1, "TIME_WAIT": 6, "CLOSE_WAIT": 8}
    yield (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
        "timeout inode"
    ).ljust(149)
    for n, row in enumerate(rows(count)):
        local, remote = (
            f"{bytes(map(int, reversed(address.split('.')))).hex().upper()}:{port:04X}"
            for address, port in (row[1:3], row[3:5])
        )
        yield (
            f"{n:4d}: {local} {remote} {numbers[row.state]:02X} 00000000:00000000 00:00000000 "
            f"00000000  1000        0 {n + 1000} 1 0000000000000000 20 4 30 10 -1"
        ).ljust(149)


def macos(count: int) -> Iterator[str]:
    """`netstat -anvl -p tcp` of macOS 26."""
    yield "Active Internet connections (including servers)"
    yield "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)  rxbytes"
    for n, row in enumerate(rows(count)):
        local, remote = f"{row.local}.{row.local_port}", f"{row.remote}.{row.remote_port}"
        yield (
            f"tcp4       0      0  {local:<22} {remote:<22} {row.state:<11}  "
            f"{n:>12} {n:>12} {131072:>7} {131768:>7} {'Google Chrome He':>16}:{812 + n % 50:<6} "
            f"00102 00000020 {n:016x} 00000080 00000000      1      0 000000"
        )


CAPTURES: dict[str, Callable[[int], Iterator[str]]] = {
    "GNU netstat": netstat,
    "ss": ss,
    "/proc/net/tcp": proc,
    "macOS netstat": macos,
}


def main() -> int:
    """Measure and print; 1 when a command failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.captures", description=__doc__)
    parser.add_argument("--rows", type=int, default=LARGE, metavar="N")
    options = parser.parse_args()
    print(f"| {'capture':<14} | `summary` | NDJSON | split() | figure | target |")
    print(f"| {'-' * 14} | --------: | -----: | ------: | -----: | -----: |")
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in CAPTURES.items():
            paths = [os.path.join(folder, "few"), os.path.join(folder, "many")]
            for path, count in zip(paths, (FEW, options.rows), strict=True):
                with open(path, "w", encoding="ascii") as file:
                    file.writelines(f"{line}\n" for line in lines(count))
            try:
                print(line_of(name, paths), flush=True)
            except MeasureError as error:
                print(error, file=sys.stderr)
                return 1
    return 0


def line_of(name: str, paths: Sequence[str]) -> str:
    """The row of the table: a short capture and a long one were read by all in turn."""
    commands = (
        (*NETINSPECT, "summary", "--from"),
        (*NETINSPECT, "-o", "ndjson", "--from"),
        (PYTHON, "-c", SPLIT),
    )
    least = [[float("inf")] * len(commands) for _ in paths]
    for _ in range(ROUNDS):
        for times, path in zip(least, paths, strict=True):
            for number, command in enumerate(commands):
                times[number] = min(times[number], run((*command, path)).cpu_s)
    summary, ndjson, split = (many - few for few, many in zip(*least, strict=True))
    cells = (
        *(f"{s * 1000:.0f} ms" for s in (summary, ndjson, split)),
        quantity(summary / split, "x"),
    )
    widths = (9, 6, 7, 6)
    shown = " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {name:<14} | {shown} | ≤ {TARGET:.0f}   |"


if __name__ == "__main__":
    sys.exit(main())
