"""Listings of real sockets that two processes share, beside those that one reads alone."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from netinspect.lab.endpoints import CLOSE, FIN_WAIT2, await_state
from tests.namespace import private_network, why_not
from tests.program import environment
from tests.relay_runs import ALONE
from tests.test_live_churn import churn
from tests.zoo import Zoo

pytestmark = [pytest.mark.live, pytest.mark.every_python]

ROOT = Path(__file__).parent.parent
RUNS = (sys.executable, "-m", "tests.relay_runs")
PATIENCE_S = 20
PAIRS = 450  # of each family: with all else 1,900 sockets of TCP, seven replies
WITH_DATA = 150
TIME_WAITS = 40
CHURN_RUNS = 8
STUCK_BYTES = 1 << 19  # more than two turns, less than all
# What is later in the second run: timers, ages, the moment
#   "taken_at":"2026-11-23T16:51:19.123456Z"   "last_ack_received_ms_ago":1234   time_wait 58.0s
MOMENT = re.compile(rb'"taken_at":"[^"]*"|"[a-z_]+_ms(_ago)?":[0-9.]+|time_wait [0-9.]+s')
# ... and in the lines below a row
NUMBER = re.compile(rb"[0-9][0-9.]*( ms| s| min)?\b")


Run = tuple[int | None, int | None, list[str]]  # turns alone, columns of a terminal, arguments


class Done(NamedTuple):
    """What became of a run."""

    status: int
    out: bytes
    err: str
    is_shared: bool


@pytest.fixture(scope="module", autouse=True)
def zoo() -> Iterator[Zoo]:
    """The sockets of this module, in a network of its own."""
    if reason := why_not():
        pytest.skip(reason)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    with private_network(), ExitStack() as stack:
        made = Zoo(stack)
        for host in ("127.0.0.1", "::1"):
            open_sockets(made, host)
        yield made
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def open_sockets(zoo: Zoo, host: str) -> None:
    """Connections, some with data, some in TIME_WAIT; listeners; UDP."""
    listeners = [zoo.listen((host, 0)) for _ in range(8)]
    for number, listener in enumerate(listeners):
        zoo.add(f"{host} listener {number}", listener, "LISTEN")
    for number in range(PAIRS):
        client, server = zoo.pair(listeners[number % 8])
        zoo.add(f"{host} client {number}", client, "ESTABLISHED")
        zoo.add(f"{host} server {number}", server, "ESTABLISHED")
        if number < WITH_DATA:
            client.send(b"x" * (number + 1))
    for _ in range(TIME_WAITS):
        client, server = zoo.pair(listeners[0])
        client.shutdown(socket.SHUT_WR)
        await_state(client, FIN_WAIT2)
        server.close()
        await_state(client, CLOSE)
        client.close()
    for number in range(50):
        bound = zoo.bind((host, 0), socket.SOCK_DGRAM)
        zoo.add(f"{host} bound {number}", bound, "UNCONN")
        zoo.add(f"{host} connected {number}", zoo.connect(bound), "ESTABLISHED")


def run_all(runs: list[Run]) -> list[Done]:
    """Of `relay_runs.py`."""
    done = subprocess.run(
        RUNS,
        input=json.dumps(runs).encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        timeout=PATIENCE_S,
        check=True,
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    return [Done(**{**o, "out": base64.b64decode(o["out"])}) for o in outcomes]


Case = tuple[int | None, tuple[str, ...]]  # columns of a terminal, if it is one, and arguments
Compared = dict[Case, tuple[Done, Done]]
SAME_BYTES: list[Case] = [
    (None, ()),
    (None, ("--no-header",)),
    (None, ("-o", "csv", "--columns", "local,remote,state,inode,cookie,send_q")),
    (None, ("-o", "tsv", "--no-header", "--columns", "local,inode")),
    (None, ("-6", "-o", "csv", "--columns", "local,inode", "--direction", "inbound")),
    (None, ("--proto", "tcp", "rtt > 0")),
    (None, ("--color", "always", "--proto", "tcp,unix")),
    (40, ()),
    (79, ("--proto", "tcp")),
    (200, ("rtt > 0",)),
]
SAME_BUT_FOR_THE_MOMENT: list[Case] = [
    (None, ("-o", "wide")),
    (None, ("--json",)),
    (None, ("-o", "ndjson")),
    (None, ("-o", "csv")),
    (None, ("--json", "--proto", "tcp", "recv_q > 0")),
    (None, ("-o", "ndjson", "-e", "--proto", "tcp")),
    (79, ("--json",)),
]
EXTENDED_TABLES: list[Case] = [(60, ("-e", "--proto", "tcp"))]


@pytest.fixture(scope="module")
def compared(zoo: Zoo) -> Compared:  # noqa: ARG001 there are the sockets
    """What two processes make of each case, and what one does; all without owners."""
    cases = [*SAME_BYTES, *SAME_BUT_FOR_THE_MOMENT, *EXTENDED_TABLES]
    runs: list[Run] = [
        (alone, width, ["--no-owners", *args]) for width, args in cases for alone in (ALONE, None)
    ]
    done = run_all(runs)
    return dict(zip(cases, zip(done[::2], done[1::2], strict=True), strict=True))


def pair(compared: Compared, case: Case) -> tuple[bytes, bytes]:
    """What was written by two, and by one."""
    together, alone = compared[case]
    assert (together.status, together.err) == (alone.status, alone.err) == (0, "")
    assert (together.is_shared, alone.is_shared) == (True, False)
    return together.out, alone.out


@pytest.mark.parametrize("case", SAME_BYTES, ids=str)
def test_the_same_bytes(case: Case, compared: Compared) -> None:
    together, alone = pair(compared, case)
    assert together == alone
    assert together.count(b"\n") > PAIRS


@pytest.mark.parametrize("case", SAME_BUT_FOR_THE_MOMENT, ids=str)
def test_the_same_but_for_the_moment(case: Case, compared: Compared) -> None:
    together, alone = pair(compared, case)
    assert without_moment(together) == without_moment(alone)
    assert together.count(b"\n") > WITH_DATA


def without_moment(text: bytes) -> bytes:
    return MOMENT.sub(b"...", text.replace(b'""', b'"'))


@pytest.mark.parametrize("case", EXTENDED_TABLES, ids=str)
def test_the_same_rows_with_all_that_can_be_told(case: Case, compared: Compared) -> None:
    ours, theirs = map(bytes.splitlines, pair(compared, case))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        if one != other:
            assert one.startswith(b" ")
            assert NUMBER.sub(b"#", one) == NUMBER.sub(b"#", other)


def test_none_is_missing_or_doubled_in_a_table_that_changes(zoo: Zoo) -> None:
    stable = Counter((m.inode, m.state, m.local_port, m.remote_port) for m in zoo.made.values())
    inodes = {made.inode for made in zoo.made.values()}
    args = ["--no-owners", "-o", "ndjson"]
    with churn():
        runs = run_all([(ALONE, None, args)] * CHURN_RUNS)
    cookies = set()
    for run in runs:
        assert (run.status, run.err, run.is_shared) == (0, "", True)
        records = [json.loads(line) for line in run.out.splitlines()]
        keys = ("inode", "state", "local_port", "remote_port")
        found = [tuple(r[key] for key in keys) for r in records if r["inode"] in inodes]
        assert Counter(found) == stable
        assert len({r["cookie"] for r in records}) == len(records)
        cookies |= {r["cookie"] for r in records}
    assert len(cookies) > len(records) + 100  # it did change


@contextmanager
def begun() -> Iterator[subprocess.Popen[bytes]]:
    """A run that is two processes now, the first of them stuck: nobody reads what it writes."""
    with subprocess.Popen(
        [*RUNS, "--no-owners", "-o", "ndjson"],
        stdout=subprocess.PIPE,
        pipesize=STUCK_BYTES,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            helper_of(process)
            yield process
        finally:
            process.kill()


def helper_of(process: subprocess.Popen[bytes]) -> int:
    """The pid of the second process, when there is one."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise TimeoutError


def is_any_left(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything of its group still runs."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_reader_that_goes_away() -> None:
    """As `| head -1` does."""
    with begun() as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(b'{"protocol":')
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 141
        assert process.stderr.read() == b""
        assert not is_any_left(process)


def test_an_interrupt_of_both() -> None:
    with begun() as process:
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, errors) == (130, b"")
        assert not is_any_left(process)


def test_a_helper_that_is_killed() -> None:
    with begun() as process:
        os.kill(helper_of(process), signal.SIGKILL)
        out, errors = process.communicate(timeout=PATIENCE_S)
        message = b"netinspect: the process that helped to read ended before it was done\n"
        assert (process.returncode, errors) == (3, message)
        assert out.endswith(b"}\n")
        assert not is_any_left(process)


@pytest.mark.parametrize(
    ("name", "room", "error"),
    [("full", None, "No space left on device"), ("file", STUCK_BYTES, "File too large")],
)
def test_no_room_for_what_is_written(
    tmp_path: Path, name: str, room: int | None, error: str
) -> None:
    """At once, and in the middle."""
    path = Path("/dev/full") if room is None else tmp_path / name

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    with path.open("wb") as out:
        done = subprocess.run(
            [*RUNS, "--no-owners", "-o", "ndjson"],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
            timeout=PATIENCE_S,
            preexec_fn=limit,
            check=False,
        )
    assert done.returncode == 3
    assert error in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
