"""`netinspect diagnose`, the program itself, on captures: what it prints is known to the letter."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest

from netinspect.diagnose.rules import RULES
from netinspect.teach.lessons import load_lessons
from tests.program import ROOT, Done, environment, run

ROWS = """\
State      Recv-Q Send-Q Local Address:Port Peer Address:Port Process
LISTEN     5      4      0.0.0.0:8080       0.0.0.0:*         users:(("nginx",pid=7,fd=4))
CLOSE-WAIT 0      0      10.0.0.1:8080      10.0.0.9:{port}     users:(("a\x1b[2Jb",pid=8,fd=5))
"""


@pytest.fixture
def capture(tmp_path: Path) -> str:
    head, listener, leak = ROWS.splitlines()
    path = tmp_path / "ss.txt"
    leaks = [leak.format(port=40000 + number) for number in range(100)]
    path.write_text("\n".join([head, listener, *leaks, ""]))
    return str(path)


def diagnose(capture: str, *args: str) -> Done:
    return run("diagnose", "--from", capture, *args)


def test_text(capture: str) -> None:
    done = diagnose(capture, "--skip", "port_exhaustion,time_wait_overflow")
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[:8] == [
        "CRITICAL the accept queue of 0.0.0.0:8080 is full: nginx (pid 7) does not accept",
        "  - 5 connections wait, the backlog is 4",
        "    tcp LISTEN 0.0.0.0:8080 recv_q 5 send_q 4 nginx/7",
        "  Do: Accept faster: a thread that only accepts, more workers, nothing slow",
        "      between two calls of accept().",
        "  More: netinspect diagnose --explain accept_queue_overflow",
        "WARNING a\\x1b[2Jb (pid 8) does not close 100 connections that the other side has",
        "  ended (medium confidence)",
    ]
    assert "1 critical, 1 warning: 4 rules checked." in lines
    (at,) = (number for number, line in enumerate(lines) if line.startswith("Not checked: "))
    said = " ".join(line.strip() for line in lines[at:])
    assert said.startswith(
        "Not checked: fin_wait2_leak, syn_sent_pile, zero_window, retransmits (ss tells no "
        "timers); orphans (ss tells no inodes); never_accepted, receive_queue_not_read, "
        "udp_drops (needs two moments, and there is one); unix_backlog (ss tells no unix queues); "
        "conntrack_full ("
    )
    assert "file_descriptor_limit (this system does not tell how many" in said
    assert "port_exhaustion" not in said
    assert max(map(len, lines)) <= 80


def test_sockets_are_wrapped(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    head, listener, _ = ROWS.splitlines()
    long = listener.replace(
        " 0.0.0.0:8080", " [2001:db8:1111:2222:3333:4444:5555:6666]:8080"
    ).replace(" 0.0.0.0:*", " [::]:*")
    path.write_text(f"{head}\n{long.replace('nginx', 'n' * 15)}\n")
    lines = diagnose(str(path), "--only", "accept_queue_overflow").out.splitlines()
    at = lines.index(
        "    tcp LISTEN [2001:db8:1111:2222:3333:4444:5555:6666]:8080 recv_q 5 send_q 4"
    )
    assert lines[at + 1] == f"      {'n' * 15}/7"


def test_many_of_a_kind_fit_one_screen(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    head, listener, _ = ROWS.splitlines()
    full = [listener.replace("8080", str(8000 + number)) for number in range(20)]
    path.write_text("\n".join([head, *full, ""]))
    lines = diagnose(str(path), "--only", "accept_queue_overflow").out.splitlines()
    assert sum(line.startswith("CRITICAL ") for line in lines) == 3
    assert "  and 17 more like this" in lines
    assert "20 critical: 1 rule checked." in lines


def test_information_alone_is_status_0(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    path.write_text("\n".join(ROWS.replace(" 5      4 ", " 0      128 ").splitlines()[:2]) + "\n")
    done = diagnose(str(path))
    assert done.status == 0
    assert done.out.splitlines()[:2] == [
        "INFO 1 listener can be reached from other hosts",
        "  - TCP ports 8080",
    ]
    assert "Nothing is wrong: " in done.out


def test_json(capture: str) -> None:
    document = json.loads(diagnose(capture, "--json").out)
    jsonschema.Draft202012Validator(json.loads(run("schema", "diagnose").out)).validate(document)
    assert [f["code"] for f in document["findings"]] == [
        *("accept_queue_overflow", "close_wait_leak", "exposed_listener"),
    ]
    worst = document["findings"][0]
    assert worst["severity"] == "critical"
    assert worst["evidence"] == ["5 connections wait, the backlog is 4"]
    assert [c["pid"] for c in worst["sockets"]] == [7]
    assert worst["avoid"]
    assert worst["references"]
    assert document["sample_seconds"] is None
    told = {*document["checked"], *(entry["code"] for entry in document["not_checked"])}
    assert told == RULES.keys()


def test_findings_by_line_and_by_cell(capture: str) -> None:
    lines = [json.loads(line) for line in diagnose(capture, "-o", "ndjson").out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(diagnose(capture, "-o", "csv").out)))
    assert [row["code"] for row in rows] == [line["code"] for line in lines]
    assert json.loads(rows[0]["evidence"]) == lines[0]["evidence"]
    assert json.loads(rows[0]["sockets"])[0]["local_port"] == 8080


def test_the_plan_is_said_on_stderr(capture: str) -> None:
    done = diagnose(capture, "--only", "close_wait_leak", "--explain-plan")
    assert done.err.startswith(f"netinspect: plan: {capture}: ss: all sockets\n")


def test_filters_and_thresholds(capture: str) -> None:
    only = ("--only", "close_wait_leak,accept_queue_overflow")
    assert diagnose(capture, *only, "--lport", "9").status == 0
    assert diagnose(capture, *only, "state listen").out.startswith("CRITICAL the accept queue")
    done = diagnose(capture, "--only", "close-wait-leak", "--set", "close_wait_leak.many=101")
    assert done.out == (
        "Nothing is wrong: 0 rules checked.\n"
        "Not checked: close_wait_leak (it is not told how long 100 connections waited)\n"
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ("--only foo", "unknown rule 'foo'"),
        ("--only orphan", "unknown rule 'orphan'; did you mean orphans?"),
        ("--skip orphans --only orphans", "--only and --skip leave no rule"),
        ("--set x", "--set 'x': expected RULE.THRESHOLD=VALUE, such as close_wait_leak.sockets=50"),
        ("--explain nonsense", "unknown rule 'nonsense'"),
        ("--once --sample 3", "--once looks once, --sample twice: leave one of them out"),
        ("--sample 0", "invalid value for '--sample': expected seconds such as 1 or 0.5"),
        ("--from /nonexistent", "/nonexistent: No such file or directory"),
    ],
)
def test_wrong_usage(args: str, says: str) -> None:
    done = run("diagnose", *args.split())
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"netinspect: {says}")
    assert done.err.count("\n") == 1


def test_a_capture_cannot_be_looked_at_later(capture: str) -> None:
    done = diagnose(capture, "--sample", "2")
    assert done.status == 2
    assert done.err == (
        "netinspect: --sample looks again later, which a capture cannot: leave it out\n"
    )


def test_rows_that_could_not_be_read_may_be_the_faulty_ones(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    path.write_text(ROWS.splitlines()[0] + "\nESTAB 0 0 nonsense\n")
    done = diagnose(str(path), "--only", "close_wait_leak")
    assert done.out == "Nothing is wrong in what could be read: 1 rule checked.\n"


def test_on_another_system() -> None:
    """What a Mac does not tell is not said to be well."""
    root = ROOT / "tests/roots/macos-26"
    env = environment(NETINSPECT_PLATFORM="darwin", NETINSPECT_ROOT=str(root))
    document = json.loads(run("diagnose", "--json", "--sample", "0.1", env=env).out)
    reasons = {entry["code"]: entry["reason"] for entry in document["not_checked"]}
    assert reasons["retransmits"] == "macos tells no timers"
    assert reasons["orphans"] == "macos tells no inodes"
    assert {"port_exhaustion", "close_wait_leak", "exposed_listener"} <= {*document["checked"]}


def test_list() -> None:
    done = run("diagnose", "--list")
    assert (done.status, done.err) == (0, "")
    for rule in RULES.values():
        assert f"{rule.code}: " in done.out
        for threshold in rule.thresholds:
            assert f"  .{threshold.name}={threshold.value:g}  " in done.out
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("code", RULES)
def test_explain(code: str) -> None:
    done = run("diagnose", "--explain", code.replace("_", "-"))
    assert (done.status, done.err) == (0, "")
    assert " ".join(done.out.split()).startswith(f"{code}: {RULES[code].title}")
    assert "\nWhat to do:\n" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    for threshold in RULES[code].thresholds:
        assert f"  - {threshold.name} = {threshold.value:g} " in done.out


def test_every_rule_has_a_lesson() -> None:
    lessons = load_lessons()
    assert lessons.keys() == RULES.keys()
    for lesson in lessons.values():
        assert lesson.meaning
        assert lesson.advice
        assert lesson.references
