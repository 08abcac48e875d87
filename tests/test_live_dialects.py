"""Command lines of netstat and ss: what they print here, and what we print for them.

Of the same sockets in a network of their own. Where something changed meanwhile (a retransmission,
a socket that goes by itself) both are asked again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netinspect.api import Listing
from netinspect.cli.dialects import in_order
from netinspect.filters.selection import select
from netinspect.render.dialects.dialect import render_dialect
from netinspect.teach.compare import print_side
from netinspect.teach.impersonate import impersonate
from netinspect.teach.typed import typed
from tests.namespace import private_network, why_not
from tests.program import run, run_on_terminal
from tests.sockets import open_zoo

pytestmark = pytest.mark.live

PATIENCE = 10  # times that the sockets may change while both look at them
# /bin/ss and netstat of the versions whose output ours is
VERSIONS = {
    "ss": ("-V", "iproute2-6.1"),
    "netstat": ("-V", "net-tools 2.10"),
    "busybox": ("--help", "BusyBox v1.35"),
}

SAME_BYTES = [
    "netstat -tan",
    "netstat -tanp",
    "netstat -tuln",
    "netstat -tan6",
    "netstat -A inet -an",
    "netstat -tn -W",
    "netstat -tunap --udplite",
    "netstat -wan",
    "netstat --tcp --listening --numeric",
    "busybox netstat -tan",
    "busybox netstat -tun",
    "busybox netstat -tuln",
    "busybox netstat -taln",
    "ss -tan",
    "ss -tn",
    "ss -tuln",
    "ss -tanp",
    "ss -tanH",
    "ss -tanm",
    "ss -tanmO",
    "ss -uan",
    "ss -un",
    "ss -wan",
    "ss -xan",
    "ss -xanp",
    "ss -x -n",
    "ss -an4",
    "ss -6an",
    "ss -tuwxlan",
    "ss -tuwxaln",
    "ss -A tcp,u_dgr -an",
    "ss -A inet,!udp -an",
    "ss -f inet6 -tan",
    "ss -tan state time-wait",
    "ss -tan state established state syn-sent",
    "ss -tan exclude listening exclude established",
    "ss -Htan state listening",
    "ss -tan ( sport > :1024 ) and dst 127.0.0.0/8",
    "ss -tanO not dst [::1]",
]


@pytest.fixture(scope="module", autouse=True)
def _zoo() -> Iterator[None]:
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), open_zoo():
        yield


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    flag, version = VERSIONS[program]
    told = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    if version not in told.stdout + told.stderr:
        pytest.skip(f"{program} is not {version}")


def theirs(words: list[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, capture_output=True, check=False, env=environment)
    return done.stdout.decode("utf-8", "surrogateescape")


def ours(words: list[str]) -> str:
    is_busybox = words[0] == "busybox"
    found = impersonate("busybox", words[1:]) if is_busybox else impersonate("linux", words)
    dialect = found.dialect
    listing = Listing(
        found.selection, with_owners=dialect.needs_owners, is_extended=dialect.needs_extended
    )
    batches = in_order(listing, dialect, None)
    if dialect.needs_command_lines:
        batches = map(listing.describe, batches)
    return b"".join(render_dialect(dialect, batches)).decode("utf-8", "surrogateescape")


def assert_same(command: str, of: Callable[[str], object] = str) -> None:
    """What matters of both is the same, at a moment when nothing changes."""
    words = command.split()
    need(words[0])
    for _ in range(PATIENCE):
        before, mine, after = theirs(words), ours(words), theirs(words)
        if of(before) == of(after) and of(mine) == of(before):
            return
        if of(before) == of(after):
            break
    assert of(mine) == of(after)


@pytest.mark.parametrize("command", SAME_BYTES)
def test_byte_for_byte(command: str) -> None:
    assert_same(command)
    assert ours(command.split())


def rows(text: str) -> Counter[str]:
    return Counter(text.splitlines())


# A timer runs on between the two, and as its text has another length, the columns move.
CLOCKS = re.compile(r"\(\d+\.\d\d/\d+/\d+\)|timer:\([^)]*\)|\b(?:last(?:snd|rcv|ack)|busy):\w+")


def words_of_rows(text: str) -> list[list[str]]:
    return [CLOCKS.sub("", row).split() for row in text.splitlines()]


def without_retransmissions(text: str) -> list[list[str]]:
    """Of rows of -O: what is sent again changes with each try."""
    return [row for row in words_of_rows(text) if not any("retrans" in word for word in row)]


@pytest.mark.parametrize("command", ["netstat -tano", "ss -tano", "ss -tane", "ss -tuane"])
def test_but_for_the_clock(command: str) -> None:
    assert_same(command, words_of_rows)


@pytest.mark.parametrize("command", ["ss -taniO", "ss -tanemipO"])
def test_internals_of_tcp(command: str) -> None:
    assert_same(command, without_retransmissions)


# Of a connection that nobody has accepted the record does not tell who owns it.
def accepted(text: str) -> list[str]:
    return [row for row in text.splitlines() if "SYN_RECV" not in row]


@pytest.mark.parametrize("command", ["netstat -tane", "netstat -tanep", "netstat -te --numeric"])
def test_users(command: str) -> None:
    assert_same(command, accepted)


NAMES = re.compile(r"(?m)^(unix +)(\d+|-)( .*)$")


def of_unix(text: str) -> Counter[str]:
    """In any order, without RefCnt, and without the lines that names with line ends are cut into.

    Those that nobody has accepted have no inode: netlink does not tell of them what /proc does.
    """
    found = (match[1] + match[3] for match in NAMES.finditer(text))
    return Counter(row for row in found if "CONNECTING" not in row and "/forged" not in row)


@pytest.mark.parametrize("command", ["netstat -xan", "netstat -xanp", "netstat -xl", "netstat -x"])
def test_unix_sockets(command: str) -> None:
    assert_same(command, of_unix)


# Kinds of sockets that we do not read
UNREAD = ("nl", "p_raw", "p_dgr", "v_str", "v_dgr", "tipc", "xdp", "mptcp", "dccp", "sctp")


def words_of_ss(text: str) -> Counter[str]:
    """The rows without their widths, which depend on kinds of sockets that we do not read."""
    rows = (row.split() for row in text.splitlines())
    return Counter(" ".join(row) for row in rows if row and row[0] not in UNREAD)


def words_of_netstat(text: str) -> tuple[Counter[str], Counter[str]]:
    inet, _, unix = text.partition("Active UNIX")
    return Counter(inet.splitlines()), of_unix(unix)


@given(st.sets(st.sampled_from("tuwxal46pHO")))
@settings(max_examples=40)
def test_any_flags_of_ss(flags: set[str]) -> None:
    assert_same(f"ss -n{''.join(sorted(flags))}", words_of_ss)


@given(st.sets(st.sampled_from("tuwUxal46pW")))
@settings(max_examples=40)
def test_any_flags_of_netstat(flags: set[str]) -> None:
    assert_same(f"netstat -n{''.join(sorted(flags))}", words_of_netstat)


def test_everything_that_netstat_shows() -> None:
    assert_same("netstat -an", lambda text: Counter(text.split("Active UNIX")[0].splitlines()))


QUESTIONS: list[dict[str, Any]] = [
    {"states": ["time-wait"]},
    {"states": ["fin-wait-1", "syn-sent"], "protocols": ["tcp"]},
    {"listening": True, "protocols": ["tcp4"]},
    {"listening": True},
    {"protocols": ["udp6"]},
    {"protocols": ["tcp"], "states": ["close-wait"], "addresses": ["::1"]},
]
# What netstat cannot be asked
QUESTIONS_OF_SS: list[dict[str, Any]] = [
    {"protocols": ["tcp6"], "local_addresses": ["fe80::/10"], "states": ["listen"]},
    {"protocols": ["tcp"], "states": ["established"], "expression": "dst 127.0.0.1"},
]


@pytest.mark.parametrize(
    ("name", "question"),
    [
        *(("gnu", question) for question in QUESTIONS),
        *(("ss", question) for question in (*QUESTIONS, *QUESTIONS_OF_SS)),
    ],
    ids=str,
)
def test_what_compare_says_to_type(name: str, question: dict[str, Any]) -> None:
    """It brings the rows that compare shows."""
    selection = select(**question)
    words = question.get("expression", "").split()
    command = typed(name, selection, words)
    assert command.notes == ()
    need(command.argv[0])
    for _ in range(PATIENCE):
        before = shell_rows(command.text)
        sockets = [c for batch in Listing(selection, with_owners=False) for c in batch]
        printed = print_side(name, selection, words, sockets, is_terminal=False)
        if before == shell_rows(command.text):
            break
    # ss is as wide as its widest row, also where grep takes that away
    mine = Counter(" ".join(slot.row.split()) for slot in printed.slots if slot.row)
    assert mine == before
    assert mine


def shell_rows(line: str) -> Counter[str]:
    text = theirs(["sh", "-c", line])
    rows = (" ".join(row.split()) for row in text.splitlines())
    return Counter(row for row in rows if not re.match("Active|Proto|Netid|State|Recv-Q", row))


@pytest.mark.parametrize("columns", [60, 80, 132, 250])
@pytest.mark.parametrize("command", ["ss -tan", "ss -tuanp"])
def test_ss_on_a_terminal(command: str, columns: int) -> None:
    need("ss")
    for _ in range(PATIENCE):
        before = on_terminal(command.split(), columns)
        mine = run_on_terminal("as", "ss", *command.split(), columns=columns).out
        if before == on_terminal(command.split(), columns):
            break
    assert mine == before


def on_terminal(words: list[str], columns: int) -> str:
    import fcntl
    import pty
    import struct
    import termios
    import tty

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    tty.setraw(follower)
    with subprocess.Popen(words, stdout=follower) as process:
        os.close(follower)
        text = b""
        while piece := _read(leader):
            text += piece
        process.wait()
    os.close(leader)
    return text.decode()


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 1 << 16)
    except OSError:
        return b""


def test_the_program_itself() -> None:
    need("netstat")
    done = run("as", "gnu", "netstat", "-tln")
    assert rows(done.out) == rows(theirs(["netstat", "-tln"]))
    assert (done.status, done.err) == (0, "")


def test_the_format_option() -> None:
    need("netstat")
    done = run("-o", "gnu", "--proto", "tcp", "-l", "--no-owners")
    expected = theirs(["netstat", "-tlnW"]).replace("(only servers)", "(servers and established)")
    assert (done.out, done.status) == (expected, 0)
