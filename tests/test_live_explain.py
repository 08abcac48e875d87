"""What explain says of command lines, beside the real netstat, ss and lsof of this machine.

Only flags that look: nothing that repeats, closes, writes or changes where it looks. Each runs in a
network without sockets of others.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netinspect.teach.command_line import CommandLine
from netinspect.teach.getopt import take_apart
from netinspect.teach.question import question_of
from tests.namespace import private_network, why_not

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
]

# Left out: what repeats (-c, -E, -r), destroys (-K), writes (-D, -F of ss), enters (-N), and what
# depends on the build or the release rather than on the command line (-Z, -M, -2, -f, -B, -Q, ...).
NETSTAT_LETTERS = "aegilnoprstuvwxWACFNSU46LTbjkmPqyzd?h"
SS_LETTERS = "aehilmnoprstuwxMSTbVvO046HcgjyfA"
LSOF_LETTERS = "aghilnoptvwPRTUVcFsGyYK"
NETSTAT_LONG = (
    *("--all", "--tcp", "--tc", "--numeric", "--num", "--numeric-h", "--prog", "--p", "--inet"),
    *("--inet6", "--unix", "--u", "--route", "--protocol=inet", "--protocol", "--foo", "--tcp=1"),
    *("--wide", "--list", "--st", "--extend", "--", "-", "inet", "5", "--ip", "--i", "--e"),
)
SS_LONG = (
    *("--all", "--tcp", "--tos", "--to", "--t", "--numeric", "--no-h", "--family=inet", "--query"),
    *("--sock=tcp", "--foo", "--info", "--i", "--ip", "--cgroup", "--c", "--processes", "--vsock"),
    "--",
)
SS_OPERANDS = (
    *((), ("tcp",), ("5",), ("1.2.3.4",), ("foo:22",), ("state", "listening"), ("state", "listen")),
    *(("state",), ("sport = :22",), ("sport", "=", ":22"), ("sport",), ("= :22",), ("and",)),
    ("exclude", "Time-Wait", "exclude", "bucket", "dst", "127.0.0.0/8"),
)
LSOF_LONG = (
    *(":22", "TCP", "tcp:80", "4", "-i6UDP", "-iTCP", "-sTCP:^ESTABLISHED", "TCP:FOO"),
    *("+c", "0", "1", "2,^3", "x1", "fq", "qs", "-T", "-c2", "/nonexistent", "--", "-n", "+n"),
    *("-o3", "-o3n", "-L", "+L1", "-S2", "-S", "-g1", "-p1", "-i:22", "-i@127.0.0.1", "-iP", "-u0"),
)


def clusters(letters: str, long: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    cluster = st.text(letters, min_size=1, max_size=4).map(lambda text: f"-{text}")
    return st.lists(
        st.one_of(cluster, cluster, st.sampled_from(long)), min_size=1, max_size=3, unique_by=str
    )


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[None]:
    with private_network():
        yield


def run(argv: list[str]) -> tuple[int, list[str]]:
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=20, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stderr.splitlines()


def agree(line: CommandLine, argv: list[str]) -> None:
    """The same exit status and the same words where we foresee an error, else no such error."""
    status, said = run(argv)
    error = line.error
    if error is None and question_of(line).shows in ("help", "version"):
        assert status == 0
    elif error is None:
        assert not any("usage" in text.lower() for text in said), said
    else:
        assert status == error.exit_status, (error, said)
        if not error.message.startswith("usage"):
            assert error.message == said[0].rstrip(), said


many = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.skipif(not shutil.which("netstat"), reason="netstat is not installed")
@given(words=clusters(NETSTAT_LETTERS, NETSTAT_LONG))
@many
def test_netstat(words: list[str]) -> None:
    argv = ["netstat", *words]
    agree(take_apart("linux", argv), argv)


@pytest.mark.skipif(not shutil.which("ss"), reason="ss is not installed")
@given(words=clusters(SS_LETTERS, SS_LONG), operands=st.sampled_from(SS_OPERANDS))
@many
def test_ss(words: list[str], operands: tuple[str, ...]) -> None:
    argv = ["ss", *words, *operands]
    agree(take_apart("linux", argv), argv)


@pytest.mark.skipif(not shutil.which("lsof"), reason="lsof is not installed")
@given(words=clusters(LSOF_LETTERS, LSOF_LONG))
@settings(many, max_examples=30)
def test_lsof(words: list[str]) -> None:
    argv = ["lsof", *words]
    agree(take_apart("linux", argv), argv)
