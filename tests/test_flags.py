from __future__ import annotations

import json

import jsonschema
import pytest

from netinspect.errors import UsageError
from netinspect.render.escape import display_width
from netinspect.teach.flags import SEVERITIES, all_flags, compare, find_tools
from netinspect.teach.getopt import parse_option_string
from netinspect.teach.knowledge import Tool, conflicts, flags, flags_of, tools
from tests.program import run, run_on_terminal

ALL = list(tools().values())


def letters_of(tool: Tool) -> set[str]:
    return {name[1] for name in flags_of(tool) if len(name) == 2 and name[0] == "-"}


@pytest.mark.parametrize("tool", ALL, ids=lambda t: t.id)
def test_the_table_has_the_letters_of_the_option_string(tool: Tool) -> None:
    letters = letters_of(tool) | {name[1] for name in flags_of(tool) if name == "/?"}
    assert letters == set(parse_option_string(tool.options))


@pytest.mark.parametrize("tool", ALL, ids=lambda t: t.id)
def test_a_flag_takes_an_argument_where_the_option_string_has_a_colon(tool: Tool) -> None:
    takes = parse_option_string(tool.options)
    assert {f"-{letter}" for letter, does in takes.items() if does} == {
        name
        for name, flag in flags_of(tool).items()
        if len(name) == 2 and name[0] == "-" and flag.argument
    }


@pytest.mark.parametrize("tool", ALL, ids=lambda t: t.id)
def test_the_long_options_are_in_the_table(tool: Tool) -> None:
    known = flags_of(tool)
    for name, takes, letter in tool.long:
        flag = known[f"-{letter}" if len(letter) == 1 else f"--{name}"]
        assert bool(flag.argument) == bool(takes)
    named = {name[2:] for name in known if name.startswith("--")}
    there = {name for name, _, _ in tool.long}
    man_only = {f.long[2:] for f in known.values() if f.long and f.status == "man-only"}
    newer = {"notrim"}  # of net-tools, not in 2.10
    assert named - there - man_only - newer == ({"libxo"} if tool.has_libxo else set())


@pytest.mark.parametrize("tool", ALL, ids=lambda t: t.id)
def test_what_stops_or_is_rejected_is_a_flag(tool: Tool) -> None:
    known = flags_of(tool)
    for flag in (*tool.stops, *tool.rejected):
        assert flag in known
    for rule in tool.values:
        assert rule.flag in known or f"-{rule.flag[1:]}" in known
    for flag in (flag for rule in tool.conflicts for flag in rule.flags):
        assert flag in known


def test_every_flag_has_a_tool_a_source_and_a_meaning() -> None:
    assert len(flags()) == 339
    for flag in flags():
        assert flag.source
        assert flag.meaning
        assert any((t.platform, t.program) == (flag.platform, flag.tool) for t in ALL)


def test_every_one_of_the_339_flags_is_explained() -> None:
    explained = [entry for tool in ALL for flag in all_flags(tool) for entry in flag.entries]
    assert len(explained) == 339
    for flag in flags():
        (tool,) = [t for t in ALL if (t.platform, t.program) == (flag.platform, flag.tool)]
        (compared,) = compare([flag.name], [tool])
        (entry,) = compared.entries
        assert (entry.tool, entry.meaning) == (tool.id, flag.meaning)
        assert (entry.short, entry.long) == (flag.short, flag.long)


def test_the_conflicts_are_about_the_flags_of_the_table() -> None:
    by_id = tools()
    for conflict in conflicts().flags:
        assert set(conflict.meanings) | set(conflict.rejected_by) == set(by_id)
        for tool, meaning in conflict.meanings.items():
            flag = flags_of(by_id[tool])[conflict.flag]
            assert flag.argument == meaning.argument
        for sense_tools in (conflict.senses or {}).values():
            assert set(sense_tools) <= set(conflict.meanings)
        rejected = {
            tool.id
            for tool in ALL
            if conflict.flag not in flags_of(tool) and f"+{conflict.flag[1:]}" not in flags_of(tool)
        }
        assert rejected == set(conflict.rejected_by), conflict.flag


def test_the_dangerous_ones_come_first() -> None:
    found = compare([], ALL)
    ranks = [SEVERITIES.index(flag.severity) for flag in found]
    assert ranks == sorted(ranks)
    assert [flag.flag for flag in found[:5]] == ["-K", "-l", "-p", "-u", "-z"]
    assert len(found) == len(conflicts().flags)


def test_tools_by_many_names() -> None:
    def ids(*words: str) -> list[str]:
        return [tool.id for tool in find_tools(words)]

    assert ids() == ["linux_netstat", "macos_netstat", "freebsd_netstat", "linux_ss", "lsof"]
    assert ids("SS", "osx") == ["linux_ss", "macos_netstat"]
    assert ids("sockstat") == ["freebsd_sockstat", "netbsd_sockstat"]
    assert ids("openbsd_netstat") == ["openbsd_netstat"]
    assert len(ids("all")) == 11
    with pytest.raises(UsageError) as caught:
        ids("sokstat")
    assert str(caught.value) == "unknown tool 'sokstat'; did you mean sockstat?"


def test_a_letter_in_full() -> None:
    done = run("flags", "p")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "-p  DANGER: means other things elsewhere, without an error"
    assert "protocol STATISTICS (argument)        NetBSD netstat" in lines
    assert "macOS netstat: -p protocol" in lines
    assert max(map(display_width, lines)) <= 80
    assert run("flags", "-p").out == done.out
    assert run("flags", "--", "-p").out == done.out


def test_a_long_option_and_one_that_is_none() -> None:
    assert run("flags", "tos").out == (
        "--tos\n\nGNU/Linux ss: --tos\n    ToS/traffic class, priority and class id.\n"
    )
    done = run("flags", "--numeric-host")
    assert done.status == 2
    assert done.err == (
        "netinspect: unknown flag '--numeric-host'; did you mean --numeric-hosts?\n"
    )


def test_a_flag_that_nobody_has() -> None:
    done = run("flags", "Y")
    assert (done.status, done.out) == (2, "")
    assert done.err == "netinspect: no tool that is known here has a flag 'Y'\n"


def test_side_by_side_fits_80_columns() -> None:
    done = run("flags")
    lines = done.out.splitlines()
    assert lines[0].split("  ")[0] == "flag"
    assert max(map(display_width, lines)) <= 80
    assert [line.split()[:2] for line in lines if line.startswith("-p")] == [["-p", "danger"]]


@pytest.mark.parametrize("columns", [30, 60, 200])
def test_it_fits_any_terminal(columns: int) -> None:
    done = run_on_terminal("flags", "--tool", "ss,macos,lsof", columns=columns)
    widest = max(map(display_width, done.out.splitlines()))
    assert widest <= max(columns, 40)


def test_all_flags_of_one_tool() -> None:
    out = run("flags", "--tool", "busybox").out
    assert out.splitlines()[0].split() == ["flag", "meaning"]
    assert [line[:2] for line in out.splitlines()[2:] if line.startswith("-")] == [
        *("-a", "-e", "-l", "-n", "-p", "-r", "-t", "-u", "-w", "-W", "-x")
    ]


def test_sources_of_a_letter() -> None:
    out = run("flags", "k", "--sources").out
    assert "Sources:\n  macOS netstat -k: apple-oss-distributions/network_cmds@97e27e6" in out


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads(run("schema", "flags").out)
    document = json.loads(run("flags", "p", "K", "--tool", "all", "--json").out)
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [flag["flag"] for flag in document["flags"]] == ["-p", "-K"]
    assert document["flags"][1]["senses"] == [
        {"meaning": "DESTROY matching sockets", "tools": ["linux_ss"]},
        {"meaning": "list threads", "tools": ["lsof"]},
    ]
