"""`netinspect time-wait`: its words of usage, its advice, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netinspect.cli.time_wait_advice import advise, other_languages
from netinspect.diagnose.finding import Finding
from netinspect.diagnose.time_wait_record import Destination, LikelyOwner, TimeWait
from netinspect.render.time_wait import render_time_wait
from netinspect.teach.advice import likely_languages, load_advice, parse_languages
from tests.program import environment, run

DESTINATION = Destination(
    side="client",
    local_address="10.0.0.1",
    local_port=None,
    remote_address="10.0.0.2",
    remote_port=443,
    time_wait=60,
    established=1,
    other=2,
    used_ports=63,
    reusable_ports=0,
    capacity=100,
    used_percent=63.0,
    created_per_second=1.5,
    seconds_to_exhaustion=25,
    severity="warning",
    likely_owners=(LikelyOwner(12, "python3"), LikelyOwner(13, None)),
)
SERVER = Destination(
    side="server",
    local_address="::1",
    local_port=8080,
    remote_address=None,
    remote_port=None,
    time_wait=3,
    established=0,
    other=0,
    used_ports=None,
    reusable_ports=None,
    capacity=None,
    used_percent=None,
    created_per_second=None,
    seconds_to_exhaustion=None,
    severity="ok",
)
POOL = Finding(
    code="pool_too_small",
    severity="info",
    title="The pool is too small",
    evidence=("9 came", "2 connections stay"),
    confidence="high",
)


def document(**keys: Any) -> TimeWait:
    plain: dict[str, Any] = {
        "host": "here",
        "platform": "linux",
        "sources": ("sock_diag",),
        "taken_at": "2026-01-02T03:04:05Z",
        "count": 63,
        "limit": 1000,
        "duration_seconds": 60,
        "ephemeral_range": (41000, 41099),
        "reserved_ports": ((41000, 41000),),
        "tcp_tw_reuse": 0,
        "ports_in_use": 63,
        "created_per_second": 1.5,
        "history": (*[0] * 57, 1, 4, 8),
        "destinations": (DESTINATION, SERVER),
        "sample": None,
        "findings": (),
        "notes": (),
    }
    return TimeWait(**{**plain, **keys})


def lines(shown: TimeWait, **options: Any) -> list[str]:
    return b"".join(render_time_wait(shown, "table", **options)).decode().split("\n")


def test_table() -> None:
    bars = " " * 57 + "▁▄█"
    assert lines(document()) == [
        "TIME_WAIT 63 of at most 1000, each for 60 s; 1.5 a second now, 8 at the peak",
        "local ports 41000-41099 without 41000, 63 in use; tcp_tw_reuse 0 (never)",
        f"60 s ago [{bars}] now",
        "",
        (
            "LEVEL    SIDE    END           FROM      TIME_WAIT  ESTAB  OTHER  USED  PER S  FULL IN"
            "  LIKELY"
        ),
        (
            "warning  client  10.0.0.2:443  10.0.0.1         60      1      2  63 %    1.5     25 s"
            "  python3(12) +1"
        ),
        "ok       server  [::1]:8080    -                 3      0      0     -      -        -  -",
        "",
        "No destination is short of local ports: no problem.",
        "",
    ]


def test_what_is_not_known_is_left_out() -> None:
    unknown = document(
        limit=None,
        duration_seconds=None,
        ephemeral_range=None,
        reserved_ports=None,
        tcp_tw_reuse=None,
        created_per_second=None,
        history=None,
        destinations=(),
    )
    assert lines(unknown) == ["TIME_WAIT 63", ""]


def test_a_narrow_terminal_has_the_youngest_and_what_matters_most() -> None:
    shown = lines(document(), terminal_width=40)
    assert max(map(len, shown)) <= 40
    assert f"25 s ago [{' ' * 22}▁▄█] now" in shown
    assert "LEVEL    END           TIME_WAIT  USED" in shown


def test_findings() -> None:
    found = document(findings=(POOL, msgspec.structs.replace(POOL, confidence="low")))
    shown = advise(found, parse_languages(["redis"]))
    text = lines(shown, languages=("go", "php"))
    begin = text.index("INFO: The pool is too small")
    assert text[begin : begin + 16] == [
        "INFO: The pool is too small",
        "  - 9 came",
        "  - 2 connections stay",
        "",
        "INFO: The pool is too small (low confidence)",
        "  - 9 came",
        "  - 2 connections stay",
        "  Do:    Let the pool keep as many idle connections to one host as requests run",
        "         at a time.",
        "         Or limit how many run at a time to the size of the pool.",
        "  See:   RFC 9112, 9.3: persistence",
        "  Redis: As many connections as threads use it at a time.",
        "      pool = redis.BlockingConnectionPool(max_connections=100)",
        "",
        "Code for: --advice go,php",
        "",
    ]


def test_many_of_a_kind_are_counted() -> None:
    text = lines(document(findings=(POOL,) * 5))
    assert text.count("INFO: The pool is too small") == 3
    assert "  and 2 more like this" in text


def test_names_cannot_move_the_cursor() -> None:
    owners = (LikelyOwner(1, "a\x1b[2J\n"),)
    shown = document(destinations=(msgspec.structs.replace(DESTINATION, likely_owners=owners),))
    assert "a\\x1b[2J\\x0a(1)" in "\n".join(lines(shown))


def test_ndjson_has_a_line_for_each_destination() -> None:
    printed = b"".join(render_time_wait(document(), "ndjson", top=1)).decode()
    assert [json.loads(line)["remote_port"] for line in printed.splitlines()] == [443]


def test_the_languages_of_likely_processes() -> None:
    assert likely_languages(["python3.11", "java", None], [443]) == {"python", "java"}
    assert likely_languages(["php-fpm8.2", "api"], [6379, None]) == {"php", "redis"}
    assert likely_languages(["jython", "nodeless"], []) == {"node"}


def test_advice_is_for_the_likely_languages_unless_others_are_asked_for() -> None:
    found = document(findings=(POOL,))
    languages = [example.language for f in advise(found, None).findings for example in f.examples]
    assert languages == ["Python"]
    assert other_languages(advise(found, None)) == (
        *("go", "node", "java", "nginx", "php"),
        "redis",
    )
    assert advise(found, parse_languages(["none"])).findings[0].examples == ()
    everything = advise(found, parse_languages(["all"])).findings[0]
    assert [example.language for example in everything.examples] == [
        *("Go", "Python", "Node.js", "Java", "nginx", "PHP"),
        "Redis",
    ]
    assert other_languages(advise(found, parse_languages(["all"]))) == ()


def test_every_finding_has_its_lesson() -> None:
    folder = Path(__file__).parent.parent / "netinspect" / "diagnose"
    texts = [(folder / f"{n}.py").read_text() for n in ("time_wait_causes", "port_exhaustion")]
    codes = {code for code in load_advice().lessons if any(f'code="{code}"' in t for t in texts)}
    assert codes == set(load_advice().lessons)
    assert sum(text.count("code=") for text in texts) == len(codes) + 1  # one of them twice


def test_code_fits_a_terminal() -> None:
    for lesson in load_advice().lessons.values():
        assert lesson.advice
        assert lesson.references
        for example in lesson.examples:
            assert max(map(len, example.code.split("\n"))) <= 74


NO_OWNER = (
    "time-wait: a socket in TIME_WAIT belongs to no process and no user, so none can be selected "
    "by them; leave that out, and look at the likely processes"
)
NO_TIME_WAIT = (
    "time-wait: the options leave out all sockets in TIME_WAIT; leave --state, --listening and "
    "--exposure out"
)
SECONDS = "expected seconds such as 1 or 0.5, from 0.1 to 86400, found {}"
SEE = " (see netinspect time-wait --help)"


@pytest.mark.parametrize(
    "words", ["user != root", "not uid = 0", "user root or dport = :443", "recv_q = 0", "state all"]
)
def test_what_may_be_in_time_wait(words: str) -> None:
    assert run("time-wait", *words.split()).status == 0


LEFT_OUT = "time-wait: the expression leaves out all sockets in TIME_WAIT"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--process nginx", NO_OWNER),
        ("--pid 1", NO_OWNER),
        ("--user root", NO_OWNER),
        ("process = nginx or dport = :443", NO_OWNER),
        ("user root", LEFT_OUT),
        ("uid = 0", LEFT_OUT),
        ("state established", LEFT_OUT),
        ("not state time-wait and dport = :443", LEFT_OUT),
        ("exposure any or rtt > 5", LEFT_OUT),
        ("--watch 1 inode > 0", LEFT_OUT),
        ("-s established", NO_TIME_WAIT),
        ("--listening", NO_TIME_WAIT),
        ("--exposure any", NO_TIME_WAIT),
        ("--proto udp", "--proto: only TCP has TIME_WAIT; expected tcp, tcp4 or tcp6"),
        ("--watch often", f"invalid value for '--watch': {SECONDS.format(repr('often'))}{SEE}"),
        ("--watch nan", f"invalid value for '--watch': {SECONDS.format(repr('nan'))}{SEE}"),
        ("--sample 0", f"invalid value for '--sample': {SECONDS.format(repr('0'))}{SEE}"),
        ("--count 2", "--count is how many lines --watch prints: say --watch 1 too"),
        ("--watch 1 --sample 2", "--watch only counts: leave --sample out"),
        ("--watch 1 --advice go", "--watch only counts: leave --advice out"),
        ("--watch 1 --top 3", "--watch only counts: leave --top out"),
        (
            "--from - --watch 1",
            "--watch looks again later, which a capture cannot: leave --from or --watch out",
        ),
        (
            "--advice rust",
            (
                "unknown language 'rust'; expected one of go, python, node, java, nginx, php, "
                "redis, all, none"
            ),
        ),
        ("443", "unknown condition '443'"),
    ],
)
def test_wrong_usage(words: str, message: str) -> None:
    done = run("time-wait", *words.split())
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"netinspect: {message}")


ROOTS = Path(__file__).parent / "roots"


def on_macos(release: str) -> dict[str, str]:
    return environment(
        NETINSPECT_PLATFORM="darwin", NETINSPECT_ROOT=str(ROOTS / f"macos-{release}")
    )


def test_macos_has_one_supply_of_ports_and_tells_who_had_the_socket() -> None:
    done = run("time-wait", "--json", env=on_macos("14"))
    shown = json.loads(done.out)
    assert (shown["count"], shown["duration_seconds"], shown["ephemeral_range"]) == (
        *(3, 30),
        [49152, 65535],
    )
    assert (shown["limit"], shown["tcp_tw_reuse"], shown["history"]) == (None, None, None)
    used = {d["used_percent"] for d in shown["destinations"]}
    assert used == {round(100 * shown["ports_in_use"] / 16384, 1)}
    assert all(d["likely_owners"] for d in shown["destinations"])
    assert shown["findings"] == []


def test_macos_that_does_not_show_them_counts_them() -> None:
    done = run("time-wait", env=on_macos("10.11"))
    assert done.out.startswith("TIME_WAIT 3, each for 30 s")
    assert "No socket is in TIME_WAIT" not in done.out
    done = run("time-wait", "--watch", "1", "--count", "1", env=on_macos("10.11"))
    assert done.out == "TIME_WAIT 3\n"


SS = """\
State     Recv-Q Send-Q Local Address:Port  Peer Address:Port
LISTEN    0      128          0.0.0.0:8080       0.0.0.0:*
TIME-WAIT 0      0           10.0.0.1:41000     10.0.0.2:443
TIME-WAIT 0      0           10.0.0.1:41001     10.0.0.2:443
TIME-WAIT 0      0           10.0.0.1:8080      10.0.0.9:50123
ESTAB     0      0           10.0.0.1:41002     10.0.0.2:443
"""


def test_a_capture(tmp_path: Path) -> None:
    capture = tmp_path / "ss"
    capture.write_text(SS)
    done = run("time-wait", "--from", str(capture), "--json")
    assert done.status == 0
    assert done.err.splitlines() == [
        (
            "netinspect: the range of ephemeral ports is not known here, so it cannot be told how "
            "near a destination is to running out of them"
        ),
        (
            "netinspect: nothing tells how long TIME_WAIT still lasts, so it is not known how fast "
            "it comes; ss and netstat show the timers with -o"
        ),
    ]
    shown = json.loads(done.out)
    assert (shown["count"], shown["history"], shown["ephemeral_range"]) == (3, None, None)
    client, server = shown["destinations"]
    assert (client["time_wait"], client["established"], client["used_percent"]) == (2, 1, None)
    assert (client["remote_port"], client["severity"]) == (443, None)
    assert (server["side"], server["local_port"], server["time_wait"]) == ("server", 8080, 1)


NETSTAT = """\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       Timer
tcp        0      0 10.0.0.1:41000          10.0.0.2:443            TIME_WAIT   timewait (58.93/0/0)
tcp        0      0 10.0.0.1:41001          10.0.0.2:443            TIME_WAIT   timewait (3.10/0/0)
"""
WITH_TIMERS = {
    "netstat": NETSTAT,
    "ss": SS.replace("443\n", "443 timer:(timewait,58sec,0)\n", 1).replace(
        "443\n", "443 timer:(timewait,3.100ms,0)\n", 1
    ),
}


@pytest.mark.parametrize("tool", WITH_TIMERS)
def test_a_capture_with_timers(tmp_path: Path, tool: str) -> None:
    """How long TIME_WAIT lasts on Linux is no secret, and so the age of each is known."""
    capture = tmp_path / tool
    capture.write_text(WITH_TIMERS[tool])
    done = run("time-wait", "--from", str(capture), "--rport", "443", "--json")
    shown = json.loads(done.out)
    assert [note["code"] for note in shown["notes"]] == ["settings_unknown"]
    assert (shown["duration_seconds"], shown["created_per_second"]) == (60, 0.1)
    assert (shown["history"][3], shown["history"][58], sum(shown["history"])) == (1, 1, 2)
    done = run("check", "--metric", "rate", "-w", "1", "--from", str(capture), "dport = :443")
    assert done.status == 0
