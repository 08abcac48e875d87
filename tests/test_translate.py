from __future__ import annotations

import json
import re
import shlex

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.render.escape import display_width
from netinspect.teach.ask import ask, is_taken
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import Tool, intents, tools
from netinspect.teach.own import own_command
from netinspect.teach.question import Question, question_of
from netinspect.teach.translate import find_targets
from tests.program import run, run_on_terminal

ALL = list(tools().values())
# Commands of the table of questions that begin with the tool's own name
COMMANDS = [
    (intent.id, tool, answer.command)
    for intent in intents().values()
    for tool, answer in intent.commands.items()
    if answer.command and answer.command.split()[0] == tools()[tool].program
]


def words_of(command: str) -> list[str]:
    """The words before the first pipe."""
    return shlex.split(re.split(r" \| |; ", command)[0])


def question(tool: str, command: str) -> Question:
    return question_of(take_apart(tool, words_of(command)))


def one(question: Question, tool: str) -> str:
    asked = ask(question, tools()[tool])
    assert asked is not None
    (command,) = asked.commands
    return command


@pytest.mark.parametrize(("intent", "tool", "command"), COMMANDS)
def test_each_command_of_the_table_is_taken_by_its_tool(
    intent: str, tool: str, command: str
) -> None:
    if "pcbaddr" in command:
        command = command.replace("pcbaddr", "ffff8000")
    assert take_apart(tool, words_of(command)).error is None, intent


def test_the_table_has_36_questions_and_ten_tools() -> None:
    assert len(intents()) == 36
    assert {len(intent.commands) for intent in intents().values()} == {10}
    for intent in intents().values():
        for answer in intent.commands.values():
            assert (answer.command is None) == (answer.support == "no")
            assert answer.command or answer.instead


@pytest.mark.parametrize("target", ALL, ids=lambda tool: tool.id)
def test_what_we_would_type_is_taken_by_every_tool(target: Tool) -> None:
    for intent, tool, command in COMMANDS:
        asked = ask(question(tool, command), target)
        if asked:
            assert asked.commands
            assert is_taken(asked), (intent, asked.commands)


@pytest.mark.parametrize(("intent", "tool", "command"), COMMANDS)
def test_a_question_survives_its_own_command(
    intent: str,  # noqa: ARG001 it names the case
    tool: str,
    command: str,
) -> None:
    """Asked of the tool that it was asked of, it is the same question again."""
    asked_for = question(tool, command)
    asked = ask(asked_for, tools()[tool])
    if asked is None or len(asked.commands) > 1 or asked.lost or " | " in asked.commands[0]:
        return
    if asked.commands[0].startswith(("watch", "while", "ip netns")):
        return
    again = question(tool, asked.commands[0])
    if asked_for.shows != "sockets":
        assert again.shows == asked_for.shows
    else:
        assert again._replace(netns=None) == asked_for._replace(netns=None), asked.commands


QUESTIONS = st.builds(
    Question,
    protocols=st.sampled_from([(), ("tcp",), ("udp",), ("tcp", "udp"), ("unix",)]),
    families=st.sampled_from([(), ("ipv4",), ("ipv6",)]),
    states=st.sampled_from([(), ("all",), ("listening",), ("TIME_WAIT",), ("FIN_WAIT1",)]),
    asks=st.sets(
        st.sampled_from(["numeric", "process", "timers", "extended", "memory", "tcp_internals"])
    ).map(lambda asks: tuple(sorted(asks))),
    port=st.sampled_from([None, "443", "8000-8100"]),
    address=st.sampled_from([None, "192.0.2.1", "[::1]"]),
    pid=st.sampled_from([None, "1234"]),
    repeat=st.sampled_from([None, "", "5"]),
)


@given(QUESTIONS, st.sampled_from(ALL))
def test_any_question_has_an_answer_that_is_taken_or_none(asked_for: Question, tool: Tool) -> None:
    asked = ask(asked_for, tool)
    if asked:
        assert is_taken(asked) or (tool.id == "lsof" and "LISTEN" in str(asked.commands))
        for command in asked.commands:
            assert shlex.split(command)


@pytest.mark.parametrize(
    ("origin", "command", "target", "expected"),
    [
        ("linux_netstat", "netstat -tlnp", "linux_ss", "ss -tlnp"),
        ("linux_netstat", "netstat -tlnp", "macos_netstat", "netstat -anv -p tcp | grep LISTEN"),
        ("linux_netstat", "netstat -tlnp", "freebsd_sockstat", "sockstat -l -P tcp"),
        ("linux_netstat", "netstat -tlnp", "openbsd_netstat", "netstat -ln -p tcp"),
        (
            "linux_netstat",
            "netstat -tlnp",
            "windows_netstat",
            "netstat -ano -p TCP | findstr LISTENING",
        ),
        ("linux_netstat", "netstat -tlnp", "lsof", "lsof -nP -iTCP -sTCP:LISTEN"),
        ("macos_netstat", "netstat -anp tcp", "netbsd_netstat", "netstat -an | grep '^tcp'"),
        ("netbsd_netstat", "netstat -p tcp", "linux_netstat", "netstat -st"),
        ("netbsd_netstat", "netstat -p tcp", "windows_netstat", "netstat -s -p TCP"),
        (
            "linux_ss",
            "ss -tn state time-wait dport = :443",
            "macos_netstat",
            "netstat -an -p tcp | grep TIME_WAIT | grep '[.]443 '",
        ),
        (
            "linux_ss",
            "ss -tan state fin-wait-1",
            "freebsd_netstat",
            "netstat -an -p tcp | grep FIN_WAIT_1",
        ),
        ("lsof", "lsof -nP -i @10.0.0.1:22", "linux_ss", None),
        ("windows_netstat", "netstat -ano 5", "linux_ss", "watch -n 5 ss -anp"),
        (
            "windows_netstat",
            "netstat -an 5",
            "macos_netstat",
            "while :; do netstat -an; sleep 5; done",
        ),
        ("linux_ss", "ss -tanm", "freebsd_netstat", "netstat -anx -p tcp"),
        ("linux_ss", "ss -tanW", "macos_netstat", None),
        ("linux_netstat", "netstat -tanW", "macos_netstat", "netstat -anlW -p tcp"),
        ("freebsd_netstat", "netstat -Lan", "macos_netstat", "netstat -anL"),
        ("linux_netstat", "netstat -6an", "openbsd_netstat", "netstat -an -f inet6"),
        ("linux_netstat", "netstat -rn", "windows_netstat", "netstat -r"),
    ],
)
def test_what_is_typed_elsewhere(
    origin: str, command: str, target: str, expected: str | None
) -> None:
    line = take_apart(origin, command.split())
    if command == "ss -tanW":
        assert line.error is not None
        return
    if expected is None:
        expected = "ss -anp '( sport = :22 or dport = :22 ) and ( src 10.0.0.1 or dst 10.0.0.1 )'"
    assert one(question_of(line), target) == expected


def test_several_commands_where_one_cannot() -> None:
    asked = ask(question("linux_netstat", "netstat -tulpn"), tools()["macos_netstat"])
    assert asked is not None
    assert asked.commands == ("netstat -anv -p tcp | grep LISTEN", "netstat -anv -p udp")
    assert "UDP has no listening state: all its sockets are shown" in [
        remark.text for remark in asked.remarks
    ]


def test_the_notes_have_the_values_that_were_asked_for() -> None:
    asked = ask(question("lsof", "lsof -nP -i :8080"), tools()["windows_netstat"])
    assert asked is not None
    assert [remark.text for remark in asked.remarks] == [
        "Filter by local or remote port: PowerShell: Get-NetTCPConnection -LocalPort 8080"
    ]
    asked = ask(question("lsof", "lsof -a -p 77 -i"), tools()["openbsd_netstat"])
    assert asked is not None
    assert asked.remarks[0].text == "Filter by PID; instead: fstat -p 77"


def test_networks_are_compared_by_ss_only() -> None:
    asked = ask(question("linux_ss", "ss -tan dst 10.0.0.0/8"), tools()["macos_netstat"])
    assert asked is not None
    assert asked.commands == ("netstat -an -p tcp",)
    assert [remark.text for remark in asked.remarks if remark.is_lost] == [
        "network 10.0.0.0/8: only ss compares networks, others single addresses"
    ]


def test_what_is_lost() -> None:
    asked = ask(question("linux_netstat", "netstat -tnp"), tools()["freebsd_netstat"])
    assert asked is not None
    assert [remark.text for remark in asked.remarks if remark.is_lost] == [
        "Owning process / PID; instead: sockstat -46"
    ]
    assert ask(question("linux_ss", "ss -K dst 192.0.2.1"), tools()["lsof"]) is None
    assert ask(question("linux_ss", "ss -tn state time-wait"), tools()["lsof"]) is None


@pytest.mark.parametrize(
    ("tool", "command", "expected"),
    [
        ("linux_netstat", "netstat -tulpn", "netinspect -l"),
        ("linux_netstat", "netstat -an", "netinspect --proto all"),
        ("linux_netstat", "netstat -t", "netinspect -s connected --proto tcp"),
        ("linux_ss", "ss -s", "netinspect summary --proto all"),
        ("linux_ss", "ss -tan4 state time-wait", "netinspect -s time-wait --proto tcp -4"),
        ("linux_ss", "ss -uanH", "netinspect --proto udp --no-header"),
        ("lsof", "lsof -a -p 3 -i :22", "netinspect --proto all --port 22 --pid 3"),
        ("linux_netstat", "netstat -rn", None),
        ("linux_ss", "ss -K dst 192.0.2.1", None),
        ("linux_ss", "ss --vsock -a", None),
    ],
)
def test_what_is_typed_here(tool: str, command: str, expected: str | None) -> None:
    assert own_command(question(tool, command)) == expected


def test_our_own_commands_are_ours() -> None:
    for _, tool, command in COMMANDS:
        own = own_command(question(tool, command))
        if own:
            done = (
                run(*shlex.split(own)[1:], "--limit", "1")
                if "summary" not in own
                else run("summary")
            )
            assert done.status == 0, (own, done.err)
            break


def test_to_a_mac() -> None:
    done = run("translate", "--to", "macos", "--", "netstat", "-tlnp")
    assert (done.status, done.err) == (0, "")
    assert (
        done.out
        == """\
netstat -tlnp

GNU/Linux and BusyBox netstat: TCP sockets that listen; numeric and with their
  processes
  on macOS:  netstat -anv -p tcp | grep LISTEN
               note: Only listening sockets: no flag; `netstat -Lan` lists TCP
                 listeners with their queue lengths
               note: Owning process / PID: process:pid column (macOS 26; "pid
                 epid" before); the PID is the last one that used the socket
             lsof -nP -iTCP -sTCP:LISTEN
               note: without sudo the processes of other users stay hidden
  here:      netinspect -l --proto tcp

Refused by macOS, FreeBSD, OpenBSD, NetBSD and Windows netstat
"""
    )


def test_to_linux() -> None:
    done = run("translate", "--to", "linux", "--", "netstat", "-anp", "tcp")
    assert (done.status, done.err) == (0, "")
    assert (
        done.out
        == """\
netstat -anp tcp
3 readings: say --from SYSTEM to choose one

macOS, FreeBSD and OpenBSD netstat: TCP sockets in all states; numeric
  on GNU/Linux:  ss -tan
                 netstat -tan
                 lsof -nP -iTCP
  here:          netinspect --proto tcp

NetBSD netstat: statistics of TCP, and no sockets
  on GNU/Linux:  netstat -st

Windows netstat: TCP sockets over IPv4, in all states; numeric
  on GNU/Linux:  ss -t4an
                 netstat -t4an
                 lsof -nP -i4TCP
  here:          netinspect --proto tcp -4

On GNU/Linux the same words mean: TCP, UDP, raw and unix-domain sockets in all
  states; numeric and with their processes
"""
    )


def test_from_one_system() -> None:
    out = run("translate", "--to", "ss", "--from", "mac", "netstat", "-anp", "tcp").out
    assert out == (
        "netstat -anp tcp\n\nmacOS netstat: TCP sockets in all states; numeric\n"
        "  on GNU/Linux ss:  ss -tan\n  here:             netinspect --proto tcp\n"
    )


def test_what_no_tool_there_has() -> None:
    out = run("translate", "--to", "ss", "netstat", "-rn").out
    assert (
        "  on GNU/Linux ss:  nothing asks this\n                    GNU/Linux ss: ip route\n" in out
    )


def test_a_pipe_is_a_part_of_the_question() -> None:
    out = run("translate", "--to", "ss", "--from", "macos", "netstat -an | grep TIME_WAIT").out
    assert "  on GNU/Linux ss:  ss -n state time-wait\n" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "mcos", "netstat"], "unknown system or tool 'mcos'; did you mean macos?"),
        (
            ["--from", "macos", "--to", "linux", "netstat", "-o"],
            "macOS netstat does not take it: netstat: illegal option -- o",
        ),
        (
            ["--to", "macos", "ss", "-c"],
            "no system takes 'ss -c': GNU/Linux ss: ss: invalid option -- 'c'",
        ),
        (["--to", "macos"], "there is no command to look at: netinspect explain -- netstat -tulpn"),
    ],
)
def test_what_cannot_be_translated(words: list[str], message: str) -> None:
    done = run("translate", *words)
    assert (done.status, done.out, done.err) == (2, "", f"netinspect: {message}\n")


def test_targets() -> None:
    def ids(word: str) -> list[str]:
        return [tool.id for tool in find_targets(word, "linux")[1]]

    assert ids("linux") == ["linux_ss", "linux_netstat", "lsof"]
    assert ids("FreeBSD") == ["freebsd_sockstat", "freebsd_netstat", "lsof"]
    assert ids("netstat") == ["linux_netstat"]
    assert ids("sockstat") == ["freebsd_sockstat"]
    assert ids("openbsd_netstat") == ["openbsd_netstat"]
    with pytest.raises(UsageError):
        ids("nothing")


@pytest.mark.parametrize("columns", [50, 80])
def test_it_fits_the_terminal(columns: int) -> None:
    done = run_on_terminal("translate", "--to", "macos", "--", "netstat", "-tnp", columns=columns)
    assert max(map(display_width, done.out.splitlines())) <= columns


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads(run("schema", "translate").out)
    text = run("translate", "--to", "freebsd", "--json", "--", "netstat", "-tlnp").out
    document = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(document)
    (reading,) = document["readings"]
    assert reading["tools"] == ["linux_netstat", "busybox_netstat"]
    assert reading["translations"][0] == {
        "tool": "freebsd_sockstat",
        "title": "FreeBSD sockstat",
        "commands": ["sockstat -l -P tcp"],
        "differences": [],
    }
    assert reading["netinspect"] == "netinspect -l --proto tcp"
    assert "ecki/net-tools@2ab3c5e" in document["sources"][0]


def test_sources() -> None:
    out = run("translate", "--to", "macos", "--sources", "--", "netstat", "-tlnp").out
    assert "Sources:\n  ecki/net-tools@2ab3c5e netstat.c:" in out


def test_only_lsof_prints_bare_pids() -> None:
    out = run("translate", "--to", "macos", "--", "lsof", "-ti:8080").out
    assert "with their processes and only the PIDs" in " ".join(out.split())
    assert "lost: the PIDs alone: only lsof -t prints no more" in " ".join(out.split())
    assert "  lsof -t -i:8080\n" in out
    assert "netinspect --port 8080 --columns pid --no-header -o tsv\n" in out


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bsd", "'bsd' is several systems: name macos, freebsd, openbsd or netbsd"),
        ("netinspect", "what to type here is always said: leave --to netinspect out"),
    ],
)
def test_words_that_are_no_system_by_themselves(word: str, message: str) -> None:
    done = run("translate", "--to", word, "--", "netstat", "-an")
    assert (done.status, done.err) == (2, f"netinspect: {message}\n")
