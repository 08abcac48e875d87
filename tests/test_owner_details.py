"""What a listing shows of processes beyond number and name, and of whom it asks for it."""

from __future__ import annotations

import csv
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given

from netinspect.extended import Memory
from netinspect.model import Connection, Owner, ParentProcess
from netinspect.render.columns import ASKED_KEYS, COLUMNS, KEYS
from netinspect.render.escape import UNSAFE_IN_CELL
from netinspect.render.listing import render_listing
from tests.records import ENVELOPE, HOSTILE_NAMES, made, presentation, rendered

ID = "3f9c0a7d5b21e4c8f6a09b1d2c3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f6"
DETAILS: dict[str, Any] = {
    "command_line": ("/usr/bin/java", "-jar", "/srv/shop.jar"),
    "executable": "/usr/bin/java",
    "executable_deleted": False,
    "parents": (ParentProcess(1, "systemd"),),
    "user": "shop",
    "unit": "shop.service",
    "container": None,
    "runtime": None,
    "started_at": "2026-01-02T03:04:05Z",
}
NOTHING: dict[str, Any] = dict.fromkeys(DETAILS)


def described(**details: Any) -> Connection:
    """A record of a process with these details."""
    return made(owners=(Owner(321, "java", 5, **{**DETAILS, **details}),))


def cell(column: str, connection: Connection) -> str:
    [text] = COLUMNS[column].cells([connection])
    return text


@pytest.mark.parametrize(
    ("column", "connection", "value", "text"),
    [
        ("command", described(), "java -jar shop.jar", "java -jar shop.jar"),
        ("unit", described(), "shop.service", "shop.service"),
        ("container", described(container="web"), "web", "web"),
        ("container", described(container=ID), ID, "3f9c0a7d5b21"),
        ("unit", described(unit=f"docker-{ID}.scope"), None, "docker-3f9c0a7d5b21….scope"),
        ("unit", described(unit=f"a{ID}.scope"), None, f"a{ID}.scope"),
        ("command", described(command_line=("\x1b[31m\n",)), "\x1b[31m\n", r"\x1b[31m\x0a"),
    ],
)
def test_cells(column: str, connection: Connection, value: str | None, text: str) -> None:
    assert cell(column, connection) == text
    if value is not None:
        assert COLUMNS[column].value(connection) == value


@pytest.mark.parametrize("column", ["command", "unit", "container"])
@pytest.mark.parametrize(
    "connection",
    [made(), made(owners=()), described(**NOTHING)],
    ids=["not asked", "no owner", "nothing known"],
)
def test_cells_of_what_is_not_known(column: str, connection: Connection) -> None:
    assert cell(column, connection) == "-"
    assert COLUMNS[column].value(connection) is None


@given(HOSTILE_NAMES)
def test_names_are_escaped(name: str) -> None:
    connection = described(command_line=(name,), unit=name, container=name)
    for column in ("command", "unit", "container"):
        assert not re.search(UNSAFE_IN_CELL, cell(column, connection))


class Asked:
    """Stands for what looks at processes: it writes down of which sockets it was asked."""

    def __init__(self) -> None:
        self.ports: list[int | None] = []

    def __call__(self, connections: list[Connection]) -> list[Connection]:
        self.ports += [c.local_port for c in connections]
        return [described(unit=f"{-(c.local_port or 0)}.service") for c in connections]


ROWS = [made(local_port=port) for port in (3, 1, 2)]


def listing(output: str, describe: Asked, **options: Any) -> str:
    shown = presentation(output, **options)
    chunks = render_listing([ROWS[:2], ROWS[2:]], shown, ENVELOPE, lambda: (), describe)
    return b"".join(chunks).decode()


def test_only_what_is_shown_is_looked_at() -> None:
    asked = Asked()
    text = listing("wide", asked, sort="local_port", limit=1)
    assert asked.ports == [1]
    assert "shop.jar" in text


def test_what_is_sorted_by_is_looked_at_before() -> None:
    asked = Asked()
    text = listing("csv", asked, columns="unit", sort="-unit", limit=1)
    assert asked.ports == [3, 1, 2]
    assert text == "unit\r\n-3.service\r\n"


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("table", {}),
        ("json", {}),
        ("csv", {}),
        ("wide", {"has_owners": False}),
        ("table", {"columns": "process owners"}),
        ("json", {"is_extended": True, "has_owners": False}),
        ("csv", {"is_extended": True, "columns": "local"}),
        ("ndjson", {"columns": "unit", "has_owners": False}),
    ],
)
def test_nobody_asked(output: str, options: dict[str, Any]) -> None:
    asked = Asked()
    listing(output, asked, **options)
    assert asked.ports == []


@pytest.mark.parametrize("output", ["json", "ndjson", "csv", "table"])
def test_all_is_asked_for(output: str) -> None:
    asked = Asked()
    listing(output, asked, is_extended=True, limit=2)
    assert asked.ports == [3, 1]


@pytest.mark.parametrize("output", ["json", "ndjson", "csv"])
def test_keys_that_nobody_asked_for_are_not_there(output: str) -> None:
    text = rendered([made()], output)
    for key in (*DETAILS, "direction", "dual_stack"):
        if key != "user":
            assert key not in text


def test_the_owner_in_full() -> None:
    (owner,) = json.loads(rendered([described()], "ndjson"))["owners"]
    assert owner == {
        "pid": 321,
        "process": "java",
        "fd": 5,
        **DETAILS,
        "command_line": list(DETAILS["command_line"]),
        "parents": [{"pid": 1, "process": "systemd"}],
    }
    assert list(owner)[3:] == list(DETAILS)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"exposure": None}, "-"),
        ({"exposure": "public"}, "public"),
        ({"exposure": "any"}, "any"),
        ({"exposure": "any", "dual_stack": True}, "any (also IPv4)"),
        ({"exposure": "any", "dual_stack": False}, "any (only IPv6)"),
    ],
)
def test_exposure(keys: dict[str, Any], text: str) -> None:
    connection = made(**keys)
    assert cell("exposure", connection) == text
    assert COLUMNS["exposure"].value(connection) == keys["exposure"]


@pytest.mark.parametrize(
    ("column", "keys", "value", "text"),
    [
        ("direction", {"direction": "inbound"}, "inbound", "inbound"),
        ("direction", {}, None, "-"),
        ("dual_stack", {"dual_stack": True}, True, "yes"),
        ("dual_stack", {"dual_stack": False}, False, "no"),
        ("dual_stack", {}, None, "-"),
    ],
)
def test_keys_that_are_not_always_there(
    column: str, keys: dict[str, Any], value: object, text: str
) -> None:
    connection = made(**keys)
    assert cell(column, connection) == text
    assert COLUMNS[column].value(connection) == value
    line = json.loads(rendered([connection], "ndjson", columns=column))
    assert line == {column: value}


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, False),
        ({"columns": "state direction"}, True),
        ({"sort": "-direction"}, True),
        ({"columns": "state"}, False),
        ({"is_extended": True}, True),
    ],
)
def test_direction_is_asked_for(options: dict[str, Any], needed: bool) -> None:
    assert presentation(**options).needs_direction is needed


def test_with_everything_csv_has_all_columns() -> None:
    header, row = rendered([described()], "csv", is_extended=True).splitlines()
    assert header.split(",") == [*KEYS, *ASKED_KEYS]
    assert '""command_line"":[""/usr/bin/java""' in row
    assert row.endswith(",,,,,")


def test_parts_are_json_in_a_cell() -> None:
    memory = Memory(*range(9))
    connection = made(memory=memory, tcp_info=None)
    text = msgspec.json.encode(memory).decode()
    assert cell("memory", connection) == text
    assert cell("tcp_info", connection) == "-"
    assert cell("options", connection) == "-"
    row = next(
        csv.reader([rendered([connection], "csv", columns="memory tcp_info").splitlines()[1]])
    )
    assert row == [text, ""]
    assert (
        rendered([made(dual_stack=True)], "csv", columns="dual_stack") == "dual_stack\r\ntrue\r\n"
    )
