"""`netinspect explain`: a command line taken apart as a system would, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Envelope
from netinspect.teach.command_line import CommandLine, Failure, Option, last_part
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import (
    SYSTEMS,
    Conflict,
    Flag,
    Tool,
    WorkedExample,
    conflicts,
    find_tool,
    flags_of,
    tools,
)
from netinspect.teach.own import own_command
from netinspect.teach.phrases import describe
from netinspect.teach.question import Question, question_of
from netinspect.teach.shell import Typed

# What other tools mean by a letter is told of these: few type sockstat flags to netstat.
COMPARED = (*(f"{system}_netstat" for system in SYSTEMS), "linux_ss")
# Where no protocol means TCP and UDP
INTERNET_ONLY = ("windows_netstat", "lsof")


class Span(Struct, frozen=True):
    """Where something stands: characters `start` to `end` of a word, counted from 0."""

    word: Annotated[int, Meta(description="0 is the program's name")]
    start: int
    end: int


class ExplainedFlag(Struct, frozen=True):
    """One flag of a command line."""

    flag: Annotated[str, Meta(description="as the table names it: -p for --prog")]
    typed: str
    argument: str | None
    place: Span
    argument_place: Span | None
    meaning: str
    notes: str | None
    status: str | None
    since: str | None
    source: str


class ExplainedOperand(Struct, frozen=True):
    """A word that is no flag."""

    text: str
    word: int


class ErrorMessage(Struct, frozen=True):
    """What the program says of the command line."""

    message: str
    exit_status: Annotated[int | None, Meta(description="null: not known")]
    place: Span | None
    note: str | None
    continues: Annotated[bool, Meta(description="a warning: the rest is done all the same")]
    flag: Annotated[str | None, Meta(description="the flag at which it ends")]
    meaning: Annotated[str | None, Meta(description="what that flag means there; null: nothing")]


class Trap(Struct, frozen=True):
    """What a flag of the command means elsewhere."""

    flag: str
    severity: str
    elsewhere: Annotated[dict[str, str], Meta(description="tool to meaning")]
    trap: str | None


class Explanation(Struct, frozen=True):
    """A command line as one tool reads it."""

    system: str
    tool: str
    title: str
    version: str
    command: tuple[str, ...]
    flags: tuple[ExplainedFlag, ...]
    operands: tuple[ExplainedOperand, ...]
    operands_mean: Annotated[str | None, Meta(description="what this tool does with operands")]
    error: ErrorMessage | None
    prints: Annotated[str | None, Meta(description="what is shown; null after an error")]
    taken_by: Annotated[
        tuple[str, ...], Meta(description="after an error: the tools of this name that take it")
    ]
    remarks: tuple[str, ...]
    outcome: Annotated[str | None, Meta(description="of a command that was tried or read closely")]
    traps: tuple[Trap, ...]
    netinspect: Annotated[str | None, Meta(description="the command that asks the same here")]
    sources: tuple[str, ...]


class ExplainedStage(Struct, frozen=True):
    """What stands before the command, or what its output goes through."""

    words: tuple[str, ...]
    meaning: str | None


class Explanations(Envelope, frozen=True, kw_only=True):
    """A command line on one system, or on several."""

    command: tuple[str, ...]
    intent: Annotated[str | None, Meta(description="what those who type it mean, where known")]
    before: tuple[ExplainedStage, ...]
    explanations: tuple[Explanation, ...]
    instead: Annotated[dict[str, str], Meta(description="tool to what is typed there instead")]
    stages: tuple[ExplainedStage, ...]


def explain(tool: Tool, typed: Sequence[str]) -> Explanation:
    """A command line as a tool reads it; ss may be given the flags of netstat."""
    is_ss_for_netstat = tool.id == "linux_ss" and last_part(typed[0]) == "netstat"
    argv = ("ss", *typed[1:]) if is_ss_for_netstat else tuple(typed)
    line = take_apart(tool.id, argv)
    known = flags_of(tool)
    is_over = line.error is not None and not line.error.continues
    question = question_of(line)
    explained = [_explained(option, lookup(known, option.flag)) for option in line.options]
    remarks = [r for r in tool.remarks if _applies(r.flags, r.without, r.operands, line)]
    error = _message(line, known)
    names = [flag.flag for flag in explained] + ([error.flag] if error and error.flag else [])
    traps = tuple(_traps(tool, names))
    sources = [tool.source, *(flag.source for flag in explained), *(r.source for r in remarks)]
    sources += [conflicts().source] if traps else []
    return Explanation(
        system=tool.system,
        tool=tool.id,
        title=tool.title,
        version=tool.version,
        command=argv,
        flags=tuple(explained),
        operands=tuple(ExplainedOperand(o.text, o.word) for o in line.operands),
        operands_mean=conflicts().behaviour.operands.get(tool.id) if line.operands else None,
        error=error,
        prints=None if is_over else describe(question, tool),
        taken_by=tuple(_takers(tool, argv)) if is_over else (),
        remarks=tuple(remark.text for remark in remarks),
        outcome=_outcome_of(tool, typed),
        traps=traps,
        netinspect=None if is_over else own_form(question, tool),
        sources=tuple(dict.fromkeys(sources)),
    )


def _takers(tool: Tool, argv: Sequence[str]) -> Iterable[str]:
    """The tools of the same name elsewhere that take a command line."""
    for other in tools().values():
        is_other = other.program == tool.program and other.id != tool.id
        if is_other and take_apart(other.id, argv).error is None:
            yield other.id


def own_form(question: Question, tool: Tool) -> str | None:
    """The netinspect command that asks what this tool was asked."""
    return own_command(question, has_default_protocols=tool.id in INTERNET_ONLY)


def lookup(known: dict[str, Flag], name: str) -> Flag:
    """What the table says of a flag; `+n` of lsof stands with `-n`."""
    return known.get(name) or known[f"-{name[1:]}"]


def _explained(option: Option, flag: Flag) -> ExplainedFlag:
    at = option.argument_place
    return ExplainedFlag(
        flag=option.flag,
        typed=option.typed,
        argument=option.argument,
        place=Span(*option.place),
        argument_place=Span(*at) if at else None,
        meaning=flag.meaning,
        notes=flag.notes,
        status=flag.status,
        since=flag.since,
        source=flag.source,
    )


def _applies(
    flags: Iterable[str], without: Iterable[str], operands: bool | None, line: CommandLine
) -> bool:
    has_all = all(line.has(flag) for flag in flags)
    return (
        has_all
        and not any(line.has(flag) for flag in without)
        and operands in (None, bool(line.operands))
    )


def _message(line: CommandLine, known: dict[str, Flag]) -> ErrorMessage | None:
    error = line.error
    if error is None:
        return None
    flag = _flag_at(line, error)
    meaning = known.get(flag or "")
    return ErrorMessage(
        message=error.message,
        exit_status=error.exit_status,
        place=Span(*error.place) if error.place else None,
        note=error.note or _status_note(line.tool, error) or _note_of(line, error, known),
        continues=error.continues,
        flag=flag,
        meaning=meaning.meaning if meaning else None,
    )


def _note_of(line: CommandLine, error: Failure, known: dict[str, Flag]) -> str | None:
    """What the table notes of a flag whose argument is refused."""
    refused = (o.flag for o in line.options if error.place and o.argument_place == error.place)
    return next((lookup(known, flag).notes for flag in refused), None)


def _flag_at(line: CommandLine, error: Failure) -> str | None:
    """The letter at which a command line ends, as a flag; None where it is no letter."""
    place = error.place
    if place is None or place.start == 0 or place.end - place.start != 1:
        return None
    if any(place == option.argument_place for option in line.options):
        return None
    return f"-{line.argv[place.word][place.start]}"


def _status_note(tool: Tool, error: Failure) -> str | None:
    """Of a bad option the exit status may depend on the release."""
    return tool.status_note if error.exit_status == tool.bad_status else None


def _traps(tool: Tool, names: Sequence[str]) -> Iterable[Trap]:
    """Flags that mean something else to the tools that a netstat user may sit at next."""
    by_flag = {conflict.flag: conflict for conflict in conflicts().flags}
    for name in dict.fromkeys(names):
        conflict = by_flag.get(name)
        if conflict and conflict.severity in ("danger", "trap") and conflict.senses:
            elsewhere = _elsewhere(conflict, tool)
            if elsewhere:
                yield Trap(name, conflict.severity, elsewhere, conflict.trap)


def _elsewhere(conflict: Conflict, tool: Tool) -> dict[str, str]:
    return {
        other: meaning
        for meaning, ids in (conflict.senses or {}).items()
        for other in ids
        if tool.id not in ids and other in COMPARED
    }


def _outcome_of(tool: Tool, argv: Sequence[str]) -> str | None:
    """What becomes of this very command there, if it is one of the worked examples."""
    example = worked_example(argv)
    return example.outcomes.get(tool.id) if example else None


def worked_example(argv: Sequence[str]) -> WorkedExample | None:
    """The worked example of these words; None when there is none."""
    text = " ".join(argv)
    return next((e for e in conflicts().worked_examples if e.command == text), None)


def instead_of(argv: Sequence[str]) -> dict[str, str]:
    """What is typed for a worked example to tools of another name, by their ids."""
    example = worked_example(argv)
    label = "equivalent: "
    return {
        tool: outcome.removeprefix(label)
        for tool, outcome in (example.outcomes.items() if example else ())
        if outcome.startswith(label)
    }


def tools_on(words: Iterable[str], program: str, this_system: str) -> list[Tool]:
    """The tools of this name on the systems that words name; `all`: wherever there is one.

    :raises UsageError: a word is no system, or none of the systems has the program.
    """
    wanted = list(words) or ["windows" if program.endswith(".exe") else this_system]
    found = [tool for word in wanted for tool in _tools_at(word, program)]
    if not found:
        places = ", ".join(SYSTEMS.get(word, word) for word in wanted)
        known = [SYSTEMS[s] for s in SYSTEMS if find_tool(s, program)]
        if not known:
            programs = dict.fromkeys(tool.program for tool in tools().values())
            raise UsageError(unknown_word("program", program, programs))
        raise UsageError(
            f"{places} has no {program}: {', '.join(known)} has; see netinspect translate"
        )
    return list({tool.id: tool for tool in found}.values())


def _tools_at(word: str, program: str) -> list[Tool]:
    if word != "all":
        tool = find_tool(word, program)
        return [tool] if tool else []
    found = [tool for system in SYSTEMS if (tool := find_tool(system, program))]
    # many carry their letters over to ss
    return [*found[:1], tools()["linux_ss"], *found[1:]] if program == "netstat" else found


def explained_stages(typed: Typed) -> tuple[tuple[ExplainedStage, ...], tuple[ExplainedStage, ...]]:
    """What stands before the command, and what its output goes through."""
    before = tuple(ExplainedStage(b.words, b.prefix.meaning) for b in typed.before)
    return before, tuple(ExplainedStage(s.words, s.meaning) for s in typed.stages)
