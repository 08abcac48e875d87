"""--from, --format and --strict, as users meet them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.program import PROGRAM, environment, run, run_in_shell, run_on_terminal

ROWS = (
    "tcp        5      7 10.0.0.1:443            192.0.2.9:51000         ESTABLISHED\n"
    "tcp        0      0 0.0.0.0:443             0.0.0.0:*               LISTEN\n"
    "udp        0      0 0.0.0.0:53              0.0.0.0:*\n"
)
WRONG = "tcp        0      0 10.0.0.1:443            192.0.2.9:51000         ESTABLISHD\n"


@pytest.fixture
def capture(tmp_path: Path) -> str:
    path = tmp_path / "netstat.txt"
    path.write_text(ROWS)
    return str(path)


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "broken.txt"
    path.write_text(ROWS + WRONG + ROWS)
    return str(path)


def test_a_table_of_a_capture(capture: str) -> None:
    done = run("--from", capture)
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "PROTO  STATE        LOCAL         REMOTE           PID  PROCESS  RECV-Q  SEND-Q\n"
        "tcp    ESTABLISHED  10.0.0.1:443  192.0.2.9:51000    -  -             5       7\n"
        "tcp    LISTEN       0.0.0.0:443   *                  -  -             0       -\n"
        "udp    UNCONN       0.0.0.0:53    *                  -  -             0       0\n"
    )


def test_a_capture_on_stdin(capture: str) -> None:
    done = run_in_shell(
        f"cat {capture} | $N summary --from - --json --proto tcp -s established,listen"
    )
    assert (done.status, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["sources"] == ["gnu-netstat"]
    assert (document["host"], document["platform"], document["taken_at"]) == (None, None, None)
    assert {row["state"]: row["count"] for row in document["counts"]} == {
        "ESTABLISHED": 1,
        "LISTEN": 1,
    }


def test_our_own_document_goes_round(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    first = run("--json", "--proto", "all")
    path.write_text(first.out)
    again = run("--from", str(path), "--json")
    assert json.loads(again.out)["connections"] == json.loads(first.out)["connections"]
    assert json.loads(again.out)["taken_at"] == json.loads(first.out)["taken_at"]


def test_filters_groups_and_formats(capture: str) -> None:
    done = run(
        "--from", capture, "--lport", "443", "-l", "-o", "csv", "--columns", "state,local_port"
    )
    assert done.out == "state,local_port\r\nLISTEN,443\r\n"
    done = run("summary", "--from", capture, "--by", "protocol", "-o", "csv")
    assert done.out.splitlines()[1].startswith("tcp,2,")


def test_cgroups_that_ss_tells(tmp_path: Path) -> None:
    path = tmp_path / "ss.txt"
    row = "tcp ESTAB 0 0 10.0.0.1:80 192.0.2.9:{} uid:33 ino:7 sk:1f cgroup:{} <->\n"
    path.write_text(row.format(1, "/a.slice") + row.format(2, "unreachable:4d"))
    done = run("summary", "--from", str(path), "--by", "cgroup", "-o", "csv")
    assert [line.partition(",")[0] for line in done.out.splitlines()] == ["cgroup", "/a.slice", ""]


def test_a_row_that_cannot_be_read_is_counted(broken: str) -> None:
    done = run("--from", broken, "-o", "ndjson")
    assert (done.status, done.out.count("\n")) == (0, 6)
    assert done.err == (
        f"netinspect: 1 row of {broken} could not be read, first line 4; --strict shows them\n"
    )


def test_strict_shows_it_and_fails(broken: str) -> None:
    done = run("--from", broken, "--strict", "-o", "ndjson")
    assert (done.status, done.out.count("\n")) == (3, 6)
    pointer = " " * WRONG.index("ESTABLISHD") + "~~~~~~~~~^"
    assert done.err == (
        f"netinspect: {broken}:4: expected a state such as ESTABLISHED\n  {WRONG}  {pointer}\n"
    )


def test_strict_shows_twenty_of_each_file_and_counts_the_others(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text(ROWS + WRONG * 25)
    done = run("summary", "--from", str(path), "--strict")
    assert done.status == 3
    assert done.err.count("expected a state") == 20
    assert done.err.splitlines()[-1] == f"netinspect: {path}: 5 more rows could not be read"


def test_strict_with_nothing_to_say(capture: str) -> None:
    done = run("--from", capture, "--strict", "-q")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert run("--from", capture, "--strict", "-q", "-s", "time-wait").status == 1


def test_quiet_and_strict(broken: str) -> None:
    assert run("--from", broken, "--strict", "-q").status == 3
    assert run("--from", broken, "-q").status == 0


def test_a_row_is_escaped_for_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "hostile.txt"
    path.write_text(ROWS + "tcp \x1b[2Jboo\n")
    done = run("--from", str(path), "--strict")
    assert "\x1b" not in done.err
    assert r"  tcp \x1b[2Jboo" in done.err


def test_an_address_from_a_capture_is_escaped_in_a_table(tmp_path: Path) -> None:
    row = {
        "protocol": "tcp", "family": "ipv4", "type": "stream", "state": "LISTEN",
        "local_address": "\x1b[2J", "local_port": 5,
    }  # fmt: skip
    path = tmp_path / "own.ndjson"
    path.write_text(json.dumps(row) + "\n")
    assert r"\x1b[2J:5" in run("--from", str(path)).out
    assert "\x1b" not in run_on_terminal("--from", str(path), "--color", "never").out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--from", "none.txt"], "none.txt: No such file or directory"),
        (["--format", "ss"], "--format is about captured output: name it with --from FILE"),
        (["--strict"], "--strict is about captured output: name it with --from FILE"),
        (["--from", "-", "--from", "-"], "--from -: stdin can be read only once"),
        (
            ["--from", "x", "--source", "proc"],
            "--from reads captured output, --source this machine's sockets: leave one of them out",
        ),
    ],
)
def test_wrong_usage(args: list[str], message: str) -> None:
    done = run("summary", *args)
    assert (done.status, done.out, done.err) == (2, "", f"netinspect: {message}\n")


def test_what_is_not_recognised_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "what.txt"
    path.write_text("what is this\n")
    done = run("--from", str(path))
    assert done.status == 2
    assert done.err.startswith(
        f"netinspect: {path} is not what a known tool prints (it begins with "
    )


def test_nothing_on_stdin() -> None:
    done = run("--from", "-")
    assert done.status == 2
    assert done.err.startswith("netinspect: stdin is empty; ")
    assert run("--from", "-", "--format", "macos-netstat", "--json").status == 0


def test_the_plan_says_what_is_read(capture: str) -> None:
    done = run("summary", "--from", capture, "--explain-plan", "-s", "listen")
    assert done.err.splitlines() == [
        f"netinspect: plan: {capture}: GNU netstat: all sockets",
        "netinspect: plan: tested here: what the socket tells",
        "netinspect: plan: owners are not looked for",
    ]


def test_what_does_not_exist_here_may_exist_there(capture: str) -> None:
    done = run("--from", capture, "--pid", "999999999", "--user", "nobody-here")
    assert "there is no" not in done.err


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(ROWS * 20_000)
    done = run_in_shell(f"$N --from {path} | head -1; echo done")
    assert (done.out.splitlines()[-1], done.err) == ("done", "")


def test_without_root(capture: str) -> None:
    Path(capture).chmod(0)
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    try:
        subprocess.run([*drop, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs root and setpriv")
    done = subprocess.run(
        [*drop, *PROGRAM, "--from", capture],
        capture_output=True, check=False, text=True, env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) in (
        (2, f"netinspect: {capture}: Permission denied\n"),
        (1, done.stderr),  # this Python cannot be run by others
    )


def test_bytes_that_are_not_utf8_are_shown_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(b"tcp4 0 0  \xff\xe9.22 *.* LISTEN\n")
    done = run("--from", str(path), "--format", "macos-netstat", "--strict")
    assert done.err.splitlines()[1:] == [
        "  tcp4 0 0  \\xff\\xe9.22 *.* LISTEN",
        "            ~~~~~~~~~~^",
    ]


def test_a_destination_whose_port_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_text("tcp4 0 0  10.0.0.1.50000 10.0.0.2.https TIME_WAIT\n", encoding="utf-8")
    done = run("time-wait", "--from", str(path), "--format", "macos-netstat")
    assert " 10.0.0.2  " in done.out
    assert "None" not in done.out
