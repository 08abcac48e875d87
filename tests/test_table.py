from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import STATES, Connection, Owner
from netinspect.render.columns import find_column
from netinspect.render.escape import UNSAFE_IN_CELL, display_width
from netinspect.render.listing import Screen
from netinspect.render.table import SETTLED_ROWS
from tests.records import (
    ANY_CONNECTIONS,
    CONNECTIONS,
    HOSTILE_NAMES,
    RAW,
    WITHOUT_PEER,
    made,
    named,
    rendered,
)

COLOUR_CODES = re.compile(r"\x1b\[[0-9]*m")
ROWS = st.lists(ANY_CONNECTIONS, min_size=1, max_size=8)
LISTENER = made(state="LISTEN", remote_address=None, remote_port=None, recv_q=0, send_q=128)
HIDDEN = made(
    pid=None, process=None, owners=(), owner_status="hidden", local_address="::1", family="ipv6"
)


def on_terminal(width: int) -> Screen:
    return Screen(width=width)


def test_the_table() -> None:
    assert rendered([LISTENER, made(), HIDDEN]) == (
        "PROTO  STATE        LOCAL           REMOTE        PID  PROCESS   RECV-Q  SEND-Q\n"
        "tcp    LISTEN       10.0.0.1:44321  *             321  nginx          0     128\n"
        "tcp    ESTABLISHED  10.0.0.1:44321  10.0.0.2:443  321  nginx          0      12\n"
        "tcp6   ESTABLISHED  [::1]:44321     10.0.0.2:443    -  (hidden)       0      12\n"
    )


def test_nothing_is_a_line_of_titles() -> None:
    assert rendered([]) == "PROTO  STATE  LOCAL  REMOTE  PID  PROCESS  RECV-Q  SEND-Q\n"
    assert rendered([], has_header=False) == ""


def test_without_titles() -> None:
    assert rendered([LISTENER], has_header=False, columns="local state recv_q") == (
        "10.0.0.1:44321  LISTEN       0\n"
    )


def test_wide() -> None:
    owners = (Owner(321, "nginx", 5), Owner(322, "nginx", 5))
    assert rendered([made(owners=owners)], "wide") == (
        "PROTO  TYPE    STATE        LOCAL           REMOTE        RECV-Q  SEND-Q  USER   INODE"
        "  INTERFACE  EXPOSURE  DROPS  TIMER  COMMAND  UNIT  CONTAINER  OWNERS\n"
        "tcp    stream  ESTABLISHED  10.0.0.1:44321  10.0.0.2:443       0      12  alice   9001"
        "  -          -             -  -      -        -     -          "
        "nginx(pid=321,fd=5) nginx(pid=322,fd=5)\n"
    )


@pytest.mark.parametrize("output", ["table", "wide"])
def test_without_owners_there_is_no_column_of_owners(output: str) -> None:
    titles = rendered([], output, has_owners=False).split()
    assert "STATE" in titles
    assert not {"PID", "PROCESS", "OWNERS", "OWNER_STATUS", "COMMAND", "UNIT"} & set(titles)


def test_the_columns_that_were_asked_for_in_their_order() -> None:
    assert rendered([made()], columns="pid remote state uid") == (
        "PID  REMOTE        STATE         UID\n321  10.0.0.2:443  ESTABLISHED  1000\n"
    )


LONG_NAME = made(process="a-long-name-12345", owners=(Owner(321, "a-long-name-12345", 5),))
FIXED = "PROTO  STATE        LOCAL           REMOTE"


@pytest.mark.parametrize(
    ("width", "titles", "process"),
    [
        pytest.param(88, "PID PROCESS RECV-Q SEND-Q", "a-long-name-12345", id="all fit"),
        pytest.param(87, "PID PROCESS RECV-Q", "a-long-name-12345", id="SEND-Q goes first"),
        pytest.param(80, "PID PROCESS RECV-Q", "a-long-name-12345", id="80 columns"),
        pytest.param(79, "PID PROCESS", "a-long-name-12345", id="then RECV-Q"),
        pytest.param(72, "PID PROCESS", "a-long-name-12345", id="the whole name fits"),
        pytest.param(71, "PID PROCESS", "a-long-name-123…", id="the name is shortened"),
        pytest.param(63, "PID PROCESS", "a-long-…", id="as far as it says something"),
        pytest.param(62, "PROCESS", "a-long-name…", id="then PID goes"),
        pytest.param(58, "PROCESS", "a-long-…", id="the name is still there"),
        pytest.param(57, "", None, id="then it goes too"),
        pytest.param(48, "", None, id="the rest fits"),
        pytest.param(47, "", None, id="the rest is never cut"),
        pytest.param(1, "", None, id="nor at one column"),
    ],
)
def test_what_a_narrow_terminal_gives_up(width: int, titles: str, process: str | None) -> None:
    header, row = rendered([LONG_NAME], screen=on_terminal(width)).splitlines()
    assert header.startswith(FIXED)
    assert header.removeprefix(FIXED).split() == titles.split()
    assert row.startswith("tcp    ESTABLISHED  10.0.0.1:44321  10.0.0.2:443")
    shown = row.removeprefix("tcp    ESTABLISHED  10.0.0.1:44321  10.0.0.2:443").split()
    assert shown[titles.split().index("PROCESS") :][:1] == [process] if process else not shown


def test_a_wide_terminal_shows_the_whole_name() -> None:
    name = "a name that is longer than other names are"
    row = made(process=name, owners=(Owner(321, name, 5),))
    for width, shown in ((75, "a name that is long…"), (100, "a name that is longer than o…")):
        lines = rendered([row, made()], screen=on_terminal(width)).splitlines()
        assert f"321  {shown}" in lines[1]
        assert max(map(len, lines)) <= width
    assert f"321  {name}  " in rendered([row, made()], screen=on_terminal(200))


@given(ROWS, st.integers(1, 200))
def test_no_address_is_cut_at_any_width(rows: list[Connection], width: int) -> None:
    kept = rendered(rows, columns="proto state local remote", has_header=False).splitlines()
    lines = rendered(rows, screen=on_terminal(width), has_header=False).splitlines()
    for line, whole in zip(lines, kept, strict=True):
        assert line.rstrip().startswith(whole.rstrip())


@given(st.lists(CONNECTIONS | WITHOUT_PEER | RAW, max_size=8), st.integers(1, 200))
def test_lines_fit_as_soon_as_the_addresses_do(rows: list[Connection], width: int) -> None:
    lines = rendered(rows, screen=on_terminal(width)).splitlines()
    if lines[0].split()[-1] == "REMOTE":
        assert len(lines[0].split()) == 4
    else:
        assert max(map(display_width, lines)) <= width


@pytest.mark.parametrize("output", ["table", "wide"])
@given(name=HOSTILE_NAMES)
def test_nothing_is_cut_in_a_pipe(output: str, name: str) -> None:
    row, columns = named(name * 20), "local process owners user interface state"
    [line] = rendered([row], output, columns=columns, has_header=False).splitlines()
    for column in columns.split():
        [cell] = find_column(column).cells([row])
        assert cell in line


def test_columns_by_name_are_not_dropped_on_a_terminal() -> None:
    columns = "local remote process recv_q send_q"
    narrow = rendered([LONG_NAME], columns=columns, screen=on_terminal(20))
    assert narrow == rendered([LONG_NAME], columns=columns)


def test_wide_is_not_fitted_to_a_terminal() -> None:
    assert rendered([made()], "wide", screen=on_terminal(20)) == rendered([made()], "wide")


def test_widths_settle() -> None:
    """From then on a wider cell pushes the rest of its row, and no other row."""
    wider = made(remote_address="100.200.100.200")
    rows = [*[made()] * SETTLED_ROWS, wider, made()]
    lines = rendered(rows, batch_size=SETTLED_ROWS).splitlines()
    assert {*lines[1:1001], lines[1002]} == {
        "tcp    ESTABLISHED  10.0.0.1:44321  10.0.0.2:443  321  nginx         0      12"
    }
    assert lines[1001] == (
        "tcp    ESTABLISHED  10.0.0.1:44321  100.200.100.200:443  321  nginx         0      12"
    )


def test_before_they_settle_widths_are_those_of_the_widest() -> None:
    wider = made(remote_address="100.200.100.200")
    lines = rendered([*[made()] * (SETTLED_ROWS - 1), wider], batch_size=100).splitlines()
    assert set(map(len, lines)) == {85}


def test_a_long_path_widens_only_its_own_row() -> None:
    path = "/" + "x" * 100
    lines = rendered([named(path), made()], columns="local state").splitlines()
    assert lines == [
        f"{'LOCAL':47}  STATE",
        f"{path}  ESTABLISHED",
        f"{'10.0.0.1:44321':47}  ESTABLISHED",
    ]


def test_wide_and_combining_characters_are_aligned() -> None:
    names = ["日本語", "cafe\u0301", "\U0001f600", "ascii"]
    assert rendered([named(name) for name in names], columns="local recv_q user process") == (
        "LOCAL   RECV-Q  USER    PROCESS\n"
        "日本語       0  日本語  日本語\n"
        "cafe\u0301         0  cafe\u0301    cafe\u0301\n"
        "\U0001f600           0  \U0001f600      \U0001f600\n"
        "ascii        0  ascii   ascii\n"
    )


@given(ROWS)
def test_every_column_begins_where_its_title_does(rows: list[Connection]) -> None:
    header, *lines = rendered(rows, columns="interface state pid").splitlines()
    places = display_width(header[: header.index("STATE")])
    for line, row in zip(lines, rows, strict=True):
        before = line[: line.rindex(row.state)]
        assert display_width(before) == places


@given(ROWS, st.none() | st.integers(1, 200))
def test_colour_changes_no_text(rows: list[Connection], width: int | None) -> None:
    plain = rendered(rows, screen=Screen(width))
    coloured = rendered(rows, screen=Screen(width, has_colour=True))
    assert COLOUR_CODES.sub("", coloured) == plain


def test_only_the_state_has_colour() -> None:
    rows = [made(state=state) for state in STATES]
    header, *lines = rendered(rows, screen=Screen(None, has_colour=True)).splitlines()
    assert "\x1b" not in header
    for row, line in zip(rows, lines, strict=True):
        codes = COLOUR_CODES.findall(line)
        assert codes == [] or f"{codes[0]}{row.state}{codes[1]}" in line
        assert len(codes) in (0, 2)


def test_colour_at_the_end_of_a_line_is_not_padded() -> None:
    rows = [LISTENER, made()]
    assert rendered(rows, columns="local state", screen=Screen(None, has_colour=True)) == (
        "LOCAL           STATE\n"
        "10.0.0.1:44321  \x1b[32mLISTEN\x1b[0m\n"
        "10.0.0.1:44321  ESTABLISHED\n"
    )


@given(ROWS, st.none() | st.integers(1, 200))
def test_a_socket_is_one_line_without_control_characters(
    rows: list[Connection], width: int | None
) -> None:
    text = rendered(rows, "table", screen=Screen(width))
    assert re.findall(UNSAFE_IN_CELL, text) == ["\n"] * (1 + len(rows))
