"""`netinspect check`, the program itself."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.namespace import why_not
from tests.program import Done, environment, run, run_command
from tests.test_live_privileges import SCRIPT

ROWS = """\
State     Recv-Q Send-Q Local Address:Port Peer Address:Port Process
LISTEN    3      128    0.0.0.0:8080       0.0.0.0:*         users:(("nginx",pid=7,fd=4))
LISTEN    9      10     [::]:9000          [::]:*            users:(("a|b'c=1\x1b[2J",pid=8,fd=4))
ESTAB     0      500    10.0.0.1:50000     10.0.0.9:443      users:(("a|b'c=1\x1b[2J",pid=8,fd=5))
ESTAB     70     0      10.0.0.1:50001     10.0.0.9:443      users:(("curl",pid=9,fd=3))
TIME-WAIT 0      0      10.0.0.1:50002     10.0.0.9:443
TIME-WAIT 0      0      10.0.0.1:50003     10.0.0.9:443
TIME-WAIT 0      0      10.0.0.1:50004     10.0.0.5:80
"""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("check") / "ss.txt"
    path.write_text(ROWS)
    return path


def check(capture: Path, *args: str) -> Done:
    return run("check", "--from", str(capture), *args)


@pytest.mark.parametrize(
    ("args", "status", "line"),
    [
        ("-w 10", 0, "OK: 7 sockets | 'count'=7;10;;0;"),
        ("-w 5 -c 10", 1, "WARNING: 7 sockets | 'count'=7;5;10;0;"),
        ("-c 5 -w 3", 2, "CRITICAL: 7 sockets | 'count'=7;3;5;0;"),
        (
            "-s time-wait -w 2",
            1,
            "WARNING: 3 sockets (state time-wait) | 'count'=3;2;;0;",
        ),
        (
            "-l --lport 443 -c 1:",
            2,
            "CRITICAL: 0 sockets (listening, lport 443) | 'count'=0;;1:;0;",
        ),
        (
            "-w 2 dport = :443 and not state time-wait",
            0,
            "OK: 2 sockets (dport = :443 and not state time-wait) | 'count'=2;2;;0;",
        ),
        (
            "--per remote_address,remote_port -s time-wait -w 1",
            1,
            (
                "WARNING: 2 sockets with remote_address=10.0.0.9 remote_port=443, the largest of 2 "
                "groups (state time-wait) | 'count'=2;1;;0;"
            ),
        ),
        (
            "--per remote --rport 1 -w 1",
            0,
            ("OK: no sockets with remote_address, remote_port (rport 1) | 'count'=0;1;;0;"),
        ),
        (
            "-l --per remote -w 1",
            0,
            ("OK: no sockets with remote_address, remote_port (listening) | 'count'=0;1;;0;"),
        ),
        (
            "-s time-wait --per process -w 1",
            0,
            ("OK: no sockets with process (state time-wait) | 'count'=0;1;;0;"),
        ),
        (
            "--metric queue -l -w 8",
            1,
            "WARNING: 9 connections wait to be accepted on [::]:9000 (listening) | 'queue'=9;8;;0;",
        ),
        (
            "--metric queue -s connected -w 8",
            1,
            (
                "WARNING: 500 bytes wait to be acknowledged on tcp 10.0.0.1:50000 "
                "(state connected) | 'queue'=500;8;;0;"
            ),
        ),
        (
            "--metric queue --process curl -c 60",
            2,
            (
                "CRITICAL: 70 bytes wait to be read on tcp 10.0.0.1:50001 (process curl) "
                "| 'queue'=70;;60;0;"
            ),
        ),
        (
            "--metric queue --rport 1 -w 8",
            0,
            "OK: no socket with a queue (rport 1) | 'queue'=0;8;;0;",
        ),
    ],
)
def test_answers(capture: Path, args: str, status: int, line: str) -> None:
    assert check(capture, *args.split()) == Done(status, f"NETINSPECT {line}\n", "")


@pytest.mark.parametrize("what", [["-w", "10"], ["--finding", "close_wait_leak"]])
def test_the_plan_is_said_on_stderr(capture: Path, what: list[str]) -> None:
    done = check(capture, *what, "--explain-plan")
    assert done.out.count("\n") == 1
    assert done.err.startswith(f"netinspect: plan: {capture}: ss: all sockets\n")


def test_a_hostile_name_stays_in_the_text(capture: Path) -> None:
    done = check(capture, "--per", "process", "--pid", "8", "-w", "1")
    assert done.status == 1
    assert done.out == (
        "NETINSPECT WARNING: 2 sockets with process=a\\x7cb'c=1\\x1b[2J (pid 8) | 'count'=2;1;;0;\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("", "nothing to hold the value against: give --warn, --crit or both"),
        ("-w x", "range 'x': expected one such as 10, 10:, ~:10, @10:20"),
        ("-w 5:3", "range '5:3': it ends before it begins"),
        ("-w 5 -s tim-wait", "unknown state 'tim-wait'; did you mean time-wait?"),
        ("-w 5 sport =", "expected a port after 'sport'"),
        ("-w 5 --nonsense", "unknown option '--nonsense' (see netinspect check --help)"),
        (
            "--finding syn_flood -s listen",
            "--finding: a rule knows which states it looks at: leave them out",
        ),
        ("-w 5 --metric queue --per pid", "--per is for --metric count, not queue"),
        ("-w 5 --from /nonexistent", "/nonexistent: No such file or directory"),
        ("-w 5 --source nowhere", "unknown source 'nowhere'"),
        ("-w 5 --timeout 0", "invalid value for '-t' / '--timeout'"),
        ("-w 5 --timeout inf", "invalid value for '-t' / '--timeout': expected seconds"),
        ("-w 5 --timeout 1e300", "invalid value for '-t' / '--timeout': expected seconds"),
        ("--finding syn_flood --sample 10", "--sample 10 takes all of --timeout 10"),
    ],
)
def test_what_cannot_be_known_is_unknown(args: str, says: str) -> None:
    done = run("check", *args.split())
    assert done.status == 3
    assert done.out.startswith(f"NETINSPECT UNKNOWN: {says}")
    assert done.out.count("\n") == 1
    assert done.err == ""


@pytest.mark.parametrize("args", [["check", "--help"], ["check", "-h"]])
def test_help_is_no_answer(args: list[str]) -> None:
    done = run(*args)
    assert done.status == 3
    assert done.out.startswith("Usage: netinspect check")


def test_an_answer_that_does_not_come(tmp_path: Path) -> None:
    """A pipe that nobody writes to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    start = time.monotonic()
    done = run("check", "--from", str(pipe), "-w", "5", "-t", "0.3")
    assert done == Done(3, "NETINSPECT UNKNOWN: no answer after 0.3 s\n", "")
    assert time.monotonic() - start < 60


def test_a_row_that_cannot_be_read_is_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    path.write_text(ROWS + "ESTAB 0 0 nonsense\n")
    done = run("check", "--from", str(path), "-w", "10")
    assert done.status == 3
    assert done.out.startswith("NETINSPECT UNKNOWN: 7 sockets; ")
    assert run("check", "--from", str(path), "-w", "5").status == 1
    found = run("check", "--from", str(path), "--finding", "close_wait_leak")
    assert found == Done(
        3, f"NETINSPECT UNKNOWN: {done.out.split('; ', 1)[1].split(' | ')[0]}\n", ""
    )


@pytest.mark.parametrize(
    ("args", "what"),
    [
        ("--process nginx", "owners"),
        ("--per pid", "owners"),
        ("--user root", "users"),
        ("--per user", "users"),
        ("inode > 5", "inodes"),
    ],
)
def test_what_a_capture_does_not_tell_is_unknown(tmp_path: Path, args: str, what: str) -> None:
    path = tmp_path / "ss.txt"
    path.write_text("\n".join(row.partition("users:")[0] for row in ROWS.splitlines()) + "\n")
    done = run("check", "--from", str(path), "-w", "10", *args.split())
    assert done.status == 3
    assert f"; ss tells no {what}" in done.out


def test_time_wait_in_a_capture_of_processes_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "lsof.txt"
    row = "x 1 root 3u IPv4 7 0t0 TCP *:80 (LISTEN)"
    path.write_text(f"COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME\n{row}\n")
    said = "no sockets in TIME_WAIT: lsof shows those of processes, and no process has them"
    done = run("check", "--from", str(path), "-s", "time-wait", "-w", "10")
    assert done.status == 3
    assert done.out.startswith(f"NETINSPECT UNKNOWN: 0 sockets (state time-wait); {said} | ")
    assert run("check", "--from", str(path), "-l", "-w", "10").status == 0
    assert run("check", "--from", str(path), "--process", "x", "-w", "10").status == 0
    found = run("time-wait", "--from", str(path))
    assert found.out == "TIME_WAIT 0\n"
    assert f"netinspect: {said}\n" in found.err
    other = tmp_path / "ss.txt"
    other.write_text(ROWS)
    both = run("check", "--from", str(path), "--from", str(other), "-s", "time-wait", "-w", "10")
    assert both.status == 0


def test_what_psutil_does_not_tell_is_unknown() -> None:
    for args in ("recv_q > 0", "user = root", "inode = 7"):
        done = run("check", "--source", "psutil", "-w", "10", "-t", "100", *args.split())
        assert done.status == 3
        assert "; psutil tells no " in done.out


def test_times_that_are_not_told_are_unknown(capture: Path) -> None:
    assert "; the capture tells no tcp_info" in check(capture, "-w", "10", "rtt > 1").out


def test_a_rule_that_cannot_tell_has_no_number(capture: Path) -> None:
    done = check(capture, "--finding", "udp_drops")
    assert done == Done(3, "NETINSPECT UNKNOWN: needs two moments, and there is one\n", "")


@pytest.mark.parametrize("test", ["not process = x", "pid != 1", "not inode > 5", "user != root"])
def test_not_of_what_is_not_told_alerts_nobody(tmp_path: Path, test: str) -> None:
    """All sockets meet it, because nothing says that they do not."""
    path = tmp_path / "ss.txt"
    path.write_text(UNTOLD_ROW)
    done = run("check", "--from", str(path), "-c", "0", *test.split())
    assert done.status == 3
    assert done.out.startswith(f"NETINSPECT UNKNOWN: 1 socket ({test}); ss tells no ")


def test_not_of_times_that_are_not_told_alerts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    path.write_text(UNTOLD_ROW)
    done = run("check", "--from", str(path), "-c", "0", "not", "rtt", ">", "1")
    assert done.status == 3
    assert "; the capture tells no tcp_info" in done.out
    assert run("check", "--from", str(path), "-c", "0", "not", "dport = :1").status == 2


UNTOLD_ROW = "ESTAB 0 0 10.0.0.1:443 10.0.0.9:50000\n"


@pytest.mark.live
def test_hidden_owners_are_a_doubt() -> None:
    """Nobody sees who holds a listener of root: that there is one, he does."""
    if reason := why_not():
        pytest.skip(reason)
    command = ["unshare", "-mn", sys.executable, "-c", SCRIPT]

    def as_nobody(*args: str) -> Done:
        return run_command(*command, "become_nobody", "check", *args, env=environment())

    unknown = as_nobody("-l", "--process", "python", "-w", "5")
    assert unknown.status == 3
    assert unknown.out.startswith("NETINSPECT UNKNOWN: 1 socket (listening, process python); the ")
    assert as_nobody("-l", "--process", "python", "-w", "0").status == 1
    negated = as_nobody("-l", "-c", "0", "not process = python")
    assert negated.status == 3
    assert negated.out.startswith(
        "NETINSPECT UNKNOWN: 1 socket (listening, not process = python); "
    )
    assert as_nobody("-l", "-c", "0", "process = python or not sport = :1").status == 2
    finding = ("--finding", "accept_queue_overflow", "--sample", "0.1")
    hidden = as_nobody(*finding, "--process", "python")
    assert hidden.out.startswith("NETINSPECT UNKNOWN: the owner")
    assert as_nobody(*finding).status == 0
    assert as_nobody("-l", "-w", "5").out.startswith("NETINSPECT OK: 2 sockets (listening) | ")
    all_seen = run_command(
        *command, "keep", "check", "-l", "--pid", "1", "-w", "5", env=environment()
    )
    assert all_seen.status == 0
