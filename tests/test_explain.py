from __future__ import annotations

import json
import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.render.escape import display_width
from netinspect.teach.explain import Explanation, explain, instead_of, tools_on
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import WorkedExample, conflicts, tools
from netinspect.teach.question import Question, question_of
from netinspect.teach.shell import read_command
from tests.program import run, run_on_terminal

EXAMPLES = conflicts().worked_examples
OUTCOMES = [(e, tool) for e in EXAMPLES for tool in e.outcomes]


def explained(tool: str, command: str) -> Explanation:
    return explain(tools()[tool], command.split())


def asked(tool: str, command: str) -> Question:
    return question_of(take_apart(tool, command.split()))


@pytest.mark.parametrize(
    ("example", "tool"), OUTCOMES, ids=[f"{e.command}, {tool}" for e, tool in OUTCOMES]
)
def test_a_worked_example_is_reproduced(example: WorkedExample, tool: str) -> None:
    """The outcome was read from the source or tried; ours is computed from the option string."""
    outcome = example.outcomes[tool]
    if outcome.startswith("equivalent: "):
        assert instead_of(example.command.split())[tool] == outcome.removeprefix("equivalent: ")
        return
    found = explained(tool, example.command)
    assert found.outcome == outcome
    statuses = {int(number) for number in re.findall(r"exit (\d+)", outcome)}
    if "FEATURE_" in outcome:  # a build option: accepted where it is there
        assert found.error is None
    elif re.match(r"works|shows|prints (the|TCP)|adds|all protocols|NON|same table|stat", outcome):
        assert found.error is None, found.error
    elif tool == "windows_netstat":
        assert found.error or found.operands  # what else it says is not known
    elif "Bluetooth" in outcome:  # what Debian's build lacks
        assert found.error is None
    elif statuses:
        assert found.error is not None
        assert found.error.exit_status in statuses
        quoted = re.findall(r'"([^".]*(?:unknown|invalid|expected)[^"]*)"', outcome)
        if quoted and "older" not in outcome:
            assert quoted[0] in found.error.message.replace('"', "")


def test_all_ten_examples_are_there() -> None:
    assert len(EXAMPLES) == 10
    assert len(OUTCOMES) == 68


@pytest.mark.parametrize(
    ("tool", "command", "question"),
    [
        (
            "linux_netstat",
            "netstat -tulpn",
            Question(protocols=("tcp", "udp"), states=("listening",), asks=("numeric", "process")),
        ),
        (
            "macos_netstat",
            "netstat -anp tcp",
            Question(protocols=("tcp",), states=("all",), asks=("numeric",)),
        ),
        ("macos_netstat", "netstat -tulpn", Question(protocols=("unix",), asks=("wide",))),
        (
            "netbsd_netstat",
            "netstat -anp tcp",
            Question(shows="statistics", protocols=("tcp",), asks=("numeric",)),
        ),
        (
            "windows_netstat",
            "netstat -ano -p TCPv6 5",
            Question(
                protocols=("tcp",),
                families=("ipv6",),
                states=("all",),
                asks=("numeric", "process"),
                repeat="5",
            ),
        ),
        ("freebsd_netstat", "netstat -ano", Question(shows="nexthops", asks=("numeric",))),
        ("freebsd_netstat", "netstat 5", Question(shows="interfaces", repeat="5")),
        ("linux_netstat", "netstat -tnc", Question(("sockets"), ("tcp",), asks=("numeric",))),
        ("linux_ss", "ss -al", Question(states=("listening",))),
        ("linux_ss", "ss -la", Question(states=("all",))),
        ("linux_netstat", "netstat -al", Question(states=("all", "listening"))),
        (
            "linux_ss",
            "ss -tn state time-wait dport = :443",
            Question(protocols=("tcp",), states=("TIME_WAIT",), asks=("numeric",), port="443"),
        ),
        (
            "linux_ss",
            "ss -tn src 10.0.0.0/8",
            Question(protocols=("tcp",), asks=("numeric",), address="10.0.0.0/8"),
        ),
        (
            "linux_ss",
            "ss -tn exclude listening sport = :22 and dport > :1024",
            Question(
                protocols=("tcp",),
                asks=("numeric",),
                expression="exclude listening sport = :22 and dport > :1024",
            ),
        ),
        (
            "lsof",
            "lsof -nP -i4TCP@10.0.0.1:22 -sTCP:LISTEN",
            Question(
                protocols=("tcp",),
                families=("ipv4",),
                states=("listening",),
                asks=("numeric", "process"),
                port="22",
                address="10.0.0.1",
            ),
        ),
        (
            "lsof",
            "lsof -n -i -p 1",
            Question(shows="files", states=("all",), asks=("process",), pid="1"),
        ),
        (
            "lsof",
            "lsof -a -i -p 1",
            Question(states=("all",), asks=("process",), pid="1"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_asked(tool: str, command: str, question: Question) -> None:
    if command == "netstat -tnc":
        question = question._replace(repeat="1")
    if command == "netstat -al":
        question = question._replace(states=("all",))
    assert asked(tool, command) == question


def test_on_linux() -> None:
    done = run("explain", "--on", "linux", "--", "netstat", "-tulpn")
    assert (done.status, done.err) == (0, "")
    assert (
        done.out
        == """\
GNU/Linux netstat (net-tools 2.10)

  netstat -tulpn
           ^      -t  Select TCP sockets (v4 and v6 unless -4/-6).
            ^     -u  Select UDP sockets.
             ^    -l  Only listening sockets (TCP LISTEN, unconnected UDP/raw,
                      listening unix).
              ^   -p  Append PID/Program name column; needs root to see other
                      users' sockets. Takes NO argument.
               ^  -n  Do not resolve hosts, ports or users.

Shows: TCP and UDP sockets that listen; numeric and with their processes
Elsewhere:
  -u DANGER  unix-domain sockets: macOS, FreeBSD, OpenBSD, NetBSD
  -l DANGER  wide IPv6 columns / more route columns: macOS; wide (= -W):
      FreeBSD; wide multicast routing columns: NetBSD
  -p DANGER  restrict to protocol (argument): macOS, FreeBSD, OpenBSD, Windows;
      protocol STATISTICS (argument): NetBSD
  -t  interface watchdog timer: macOS, NetBSD; offload state: Windows
Here: netinspect -l
"""
    )


def test_on_a_mac() -> None:
    out = run("explain", "--on", "osx", "netstat", "-anp").out
    assert "             !  -p  " in out
    freebsd = run("explain", "--on", "freebsd", "netstat", "-tan").out
    assert "           !  -t  Here it ends.\n" in freebsd
    assert (
        "Taken by: GNU/Linux netstat, BusyBox netstat, macOS netstat, NetBSD netstat, Windows "
        "netstat; netinspect translate says what to type instead"
    ) in " ".join(freebsd.split())
    assert "  -t  TCP sockets: GNU/Linux, GNU/Linux ss, BusyBox; interface watchdog" in freebsd
    assert "             !  -p  Restrict to a protocol: tcp udp divert ip" in out
    assert "vsock_private. But here it ends.\n" in out
    assert "  -p DANGER  process name/PID column, no argument: GNU/Linux" in out
    assert "Fails: netstat: option requires an argument -- p (exit 64)\n" in out
    assert "  exit 64 since network_cmds-730 (about macOS 26.3), exit 1 before\n" in out


def test_on_all_systems() -> None:
    done = run("explain", "--on", "all", "--", "netstat", "-tulpn")
    lines = done.out.splitlines()
    assert lines[0] == "netstat -tulpn (listening TCP+UDP with process)"
    verdicts = {line[:19].strip(): line[19:36].strip() for line in lines[4:] if line[:1].strip()}
    assert verdicts == {
        "GNU/Linux netstat": "accepted",
        "GNU/Linux ss": "accepted",
        "BusyBox netstat": "accepted",
        "macOS netstat": "accepted, warns",
        "FreeBSD netstat": "refused, exit 1",
        "OpenBSD netstat": "refused, exit 1",
        "NetBSD netstat": "refused, exit 1",
        "Windows netstat": "refused",
        "lsof": "instead",
        "FreeBSD sockstat": "instead",
    }
    assert max(map(display_width, lines)) <= 80


def test_what_to_type_where_there_is_no_such_program() -> None:
    document = json.loads(run("explain", "--on", "all", "--json", "--", "ss", "-tlnp").out)
    assert [found["tool"] for found in document["explanations"]] == ["linux_ss"]
    assert document["instead"] == {
        "busybox_netstat": "netstat -tlnp",
        "macos_netstat": "netstat -anv -p tcp | grep LISTEN",
        "freebsd_sockstat": "sockstat -l -P tcp",
        "openbsd_netstat": "netstat -ln -p tcp",
        "netbsd_sockstat": "sockstat -ln | grep '^tcp'",
        "windows_netstat": "netstat -ano -p TCP | findstr LISTENING",
    }
    lines = run("explain", "--on", "all", "--", "ss", "-tlnp").out.splitlines()
    assert lines[2].split() == ["system", "is", "what", "happens"]
    assert "FreeBSD sockstat  instead   sockstat -l -P tcp" in lines


def test_what_is_noted_of_an_argument_that_is_refused() -> None:
    error = explained("lsof", "lsof -iP").error
    assert error is not None
    assert error.message == "lsof: unknown protocol name (P) in: -i P"
    assert "write -Pi or -i -P" in str(error.note)


def test_a_program_of_windows_is_one_of_windows() -> None:
    out = run("explain", r"C:\\Windows\\System32\\netstat.exe -ano").out
    assert out.startswith("Windows netstat (help texts of Windows 10 and 11)\n")


def test_our_option_behind_the_command() -> None:
    behind = run("explain", "--", "netstat", "-anp", "--on", "macos")
    assert behind.out == run("explain", "--on", "macos", "--", "netstat", "-anp").out
    # which ss takes for --oneline
    ours = run("explain", "--on", "linux", "--", "ss", "-t", "--on", "dst", "::1")
    assert "        ^^^^          -O   One line per socket even with -i/-m.\n" in ours.out
    behind = run("translate", "netstat", "-anp", "--to", "macos")
    assert behind.out == run("translate", "--to", "macos", "netstat", "-anp").out


def test_a_flag_that_may_not_be_built_in() -> None:
    out = run("explain", "--on", "all", "--", "netstat", "-tp").out
    assert "-p only if it was built in" in " ".join(out.split())


def test_what_stands_before_and_behind() -> None:
    out = run("explain", "--on", "linux", "sudo ss -tan 2>/dev/null | grep TIME-WAIT|wc -l").out
    lines = out.splitlines()
    assert lines[0] == "sudo: as root, so that the owners of other users' sockets are seen"
    assert lines[-2:] == [
        "| grep TIME-WAIT: keeps the rows in state TIME-WAIT; the headings go with the rest",
        "| wc -l: counts the lines, with the headings if they are still there",
    ] or lines[-3:] == [
        "| grep TIME-WAIT: keeps the rows in state TIME-WAIT; the headings go with the",
        "    rest",
        "| wc -l: counts the lines, with the headings if they are still there",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is no command to look at: netinspect explain -- netstat -tulpn"),
        (["sudo"], "there is no command to look at: netinspect explain -- netstat -tulpn"),
        (["nestat", "-a"], "unknown program 'nestat'; did you mean netstat?"),
        (["--on", "mcos", "netstat"], "unknown system 'mcos'; did you mean macos?"),
        (["netstat 'a"], '"netstat \'a": no closing quotation'),
        (
            ["--on", "windows,macos", "ss", "-tan"],
            "Windows, macOS has no ss: GNU/Linux has; see netinspect translate",
        ),
    ],
)
def test_what_cannot_be_explained(words: list[str], message: str) -> None:
    done = run("explain", *words)
    assert (done.status, done.out, done.err) == (2, "", f"netinspect: {message}\n")


def test_control_characters_do_not_reach_the_terminal() -> None:
    done = run_on_terminal("explain", "--on", "linux", "--", "netstat", "\x1b[2J\u202e", "-\x9b")
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert "\\x1b[2J\\u202e" in done.out


def test_bytes_that_are_not_utf_8() -> None:
    done = run("explain", "--on", "linux", "--json", "--", "netstat", b"a\xff\\", "-t")
    assert done.err == ""
    assert json.loads(done.out)["command"] == ["netstat", "a\\xff\\", "-t"]
    done = run("translate", "--to", "macos", "--", "netstat", b"\xff", "-t")
    assert (done.status, done.err) == (0, "")


@given(st.lists(st.text(max_size=8), max_size=5), st.sampled_from(sorted(tools())))
def test_anything_can_be_explained(words: list[str], tool: str) -> None:
    argv = [tools()[tool].program, *words]
    found = explain(tools()[tool], argv)
    for flag in found.flags:
        text = argv[flag.place.word][flag.place.start : flag.place.end]
        assert text
        assert text.startswith(("-", "+")) or text == flag.typed.lstrip("-+/")
        if flag.argument_place:
            at = flag.argument_place
            assert argv[at.word][at.start : at.end] == flag.argument


def test_systems_and_their_tools() -> None:
    assert [t.id for t in tools_on(["all"], "sockstat", "linux")] == [
        "freebsd_sockstat",
        "netbsd_sockstat",
    ]
    assert [t.id for t in tools_on(["all"], "lsof", "linux")] == ["lsof"]
    assert [t.id for t in tools_on([], "/bin/ss", "linux")] == ["linux_ss"]
    with pytest.raises(UsageError):
        tools_on(["macos"], "ss", "linux")


def test_a_command_in_a_shell() -> None:
    typed = read_command(["watch -n 5 netstat -an 2>&1 | awk '{c[$6]++}'; ls"])
    assert typed.argv == ("netstat", "-an")
    assert [b.words for b in typed.before] == [("watch", "-n", "5")]
    assert [s.meaning for s in typed.stages] == ["counts the rows by their state, the sixth column"]
    (stage,) = read_command(["netstat -an | grep '[.]22 '"]).stages
    assert stage.kept == {"port": "22"}
    typed = read_command(["watch", "-n1", "netstat -an | grep TIME_WAIT"])
    assert (typed.argv, [s.words[0] for s in typed.stages]) == (("netstat", "-an"), ["grep"])
    (stage,) = read_command(["netstat", "-an", "|", "frobnicate"]).stages
    assert stage.meaning is None


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads(run("schema", "explain").out)
    text = run("explain", "--on", "all", "--json", "--", "netstat", "-anp", "tcp").out
    document = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["intent"] == "TCP sockets (BSD/Windows habit)"
    by_tool = {found["tool"]: found for found in document["explanations"]}
    assert by_tool["linux_ss"]["error"]["exit_status"] == 1
    assert by_tool["netbsd_netstat"]["prints"] == "statistics of TCP, and no sockets"
    assert by_tool["macos_netstat"]["flags"][2] == {
        **by_tool["macos_netstat"]["flags"][2],
        "flag": "-p",
        "argument": "tcp",
        "place": {"word": 1, "start": 3, "end": 4},
        "argument_place": {"word": 2, "start": 0, "end": 3},
    }
    assert set(by_tool["macos_netstat"]["sources"]) <= set(document["sources"])


def test_sources() -> None:
    out = run("explain", "--on", "linux", "--sources", "--", "netstat", "-t").out
    assert "Sources:\n  GNU/Linux netstat -t: ecki/net-tools@2ab3c5e netstat.c:" in out
