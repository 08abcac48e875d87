from __future__ import annotations

import json
from typing import get_args

import jsonschema
import pytest

from netinspect.errors import UsageError
from netinspect.filters.words import parse_states
from netinspect.model import State
from netinspect.render.escape import display_width
from netinspect.teach.states import TcpState, diagram, find_states, spellings, state_table
from netinspect.teach.states_text import state_lines
from tests.program import run, run_on_terminal

TABLE = state_table()


@pytest.mark.parametrize("state", TABLE.states, ids=lambda s: s.state)
def test_every_spelling_of_a_state_finds_it(state: object) -> None:
    assert state in TABLE.states
    for found in TABLE.states:
        for spelling in (*found.prints.values(), *found.ss_filter_keywords, found.rfc9293):
            if spelling not in ("UNCONN", "unconnected"):  # ours is a state of datagrams too
                assert parse_states([spelling]) == {found.state}


def test_every_state_of_tcp_is_in_the_table() -> None:
    others = {"UNCONN", "BOUND", "UNKNOWN"}
    assert {state.state for state in TABLE.states} == set(get_args(State)) - others


def test_the_numbers_are_distinct_and_the_hexadecimal_one_is_the_decimal_one() -> None:
    for key in ("linux_kernel_number", "bsd_number", "windows_mib_number"):
        assert len({getattr(state, key) for state in TABLE.states}) == 11
    for state in TABLE.states:
        assert int(state.linux_proc_hex, 16) == state.linux_kernel_number


@pytest.mark.parametrize("state", TABLE.states, ids=lambda s: s.state)
@pytest.mark.parametrize(("width", "drawn"), [(80, TABLE.diagram), (60, TABLE.narrow_diagram)])
def test_each_state_is_marked_in_the_diagram_and_nothing_moves(
    state: TcpState, width: int, drawn: tuple[str, ...]
) -> None:
    words = " ".join(drawn).split()
    lines = diagram([state], width)
    marked = "\n".join(lines)
    assert f"[{state.state}]" in marked
    assert marked.replace("[", " ").replace("]", " ").split() == words
    assert marked.count("[") == words.count(state.state)
    assert max(map(len, lines)) <= width


def test_in_a_narrow_terminal_no_line_is_too_long() -> None:
    for state in TABLE.states:
        assert max(map(display_width, state_lines(state, 60))) <= 60


def test_one_state_in_full() -> None:
    done = run("states", "TimeWait")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "TIME_WAIT: waiting so that stray segments die"
    assert "Who waits: the end that closed first, for time to pass" in lines
    assert "  macOS        30 s: twice the MSL; set by net.inet.tcp.msl (15000 ms)" in lines
    assert "  FIN_WAIT2 --- FIN comes --->[TIME_WAIT]                     LAST_ACK" in lines
    assert "  TMWAIT     netstat -An of NetBSD" in lines
    assert "  ss takes: state time-wait" in lines
    assert lines[-1] == "Show them: netinspect -s time-wait"
    assert max(map(display_width, lines)) <= 80


def test_several_states_are_a_table() -> None:
    done = run("states", "bucket")
    lines = done.out.splitlines()
    assert lines[0].split() == ["state", "means", "who", "waits,", "for", "what", "lasts"]
    assert [line.split()[0] for line in lines[2:] if line[0] != " "] == ["SYN_RECV", "TIME_WAIT"]


@pytest.mark.parametrize("columns", [40, 80, 132])
def test_all_states_fit_the_terminal(columns: int) -> None:
    done = run_on_terminal("states", columns=columns)
    assert done.status == 0
    for state in TABLE.states:
        assert state.state in done.out
    fit = [line for line in done.out.splitlines() if display_width(line) > columns]
    assert fit == []


def test_what_is_no_state_of_rfc_9293() -> None:
    done = run("states", "unconn")
    assert done.out == (
        "UNCONN (ss)\n  CLOSE for TCP; the normal state of an unconnected UDP or raw socket\n"
    )


def test_an_unknown_state() -> None:
    with pytest.raises(UsageError) as caught:
        find_states(["timewat"])
    assert str(caught.value) == "unknown state 'timewat'; did you mean time-wait?"
    done = run("states", "timewat")
    assert (done.status, done.out) == (2, "")
    assert done.err == "netinspect: unknown state 'timewat'; did you mean time-wait?\n"


def test_sources() -> None:
    lines = run("states", "time-wait", "--sources").out.splitlines()
    assert "Sources:" in lines
    assert (
        "  TIME_WAIT, how long on linux: Linux include/net/tcp.h; measured on Linux 6.18:" in lines
    )
    assert (
        "  diagram: RFC 9293 section 3.3.2, figure 5, without the rare transitions; state" in lines
    )


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads(run("schema", "states").out)
    document = json.loads(run("states", "close-wait", "--json").out)
    jsonschema.Draft202012Validator(schema).validate(document)
    (state,) = document["states"]
    assert (state["state"], state["bsd_number"]) == ("CLOSE_WAIT", 5)
    assert document["sources"] == [
        "RFC 9293 section 3.3.2 (states), 3.6 (closing); run live on Linux 6.18"
    ]
    assert any("[CLOSE_WAIT]" in line for line in document["diagram"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**document, "states": 1})


def test_spellings_by_how_many_print_them() -> None:
    (state,) = [s for s in TABLE.states if s.state == "SYN_RECV"]
    found = [(spelling, len(tools)) for spelling, tools in spellings(state)]
    assert found == [
        ("SYN_RCVD", 7),
        ("SYN_RECV", 4),
        ("SYN-RECV", 1),
        ("SYSRCV", 1),
        ("SYN_RECEIVED", 1),
        ("SynReceived", 1),
    ]
