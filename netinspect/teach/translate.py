"""`netinspect translate`: what a command line asks, and how that is asked elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from netinspect.errors import UsageError, fold, unknown_word
from netinspect.filters.words import parse_states
from netinspect.model import Envelope
from netinspect.teach.ask import Asked, ask
from netinspect.teach.command_line import CommandLine, Failure
from netinspect.teach.explain import own_form, tools_on
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import (
    SYSTEM_ALIASES,
    SYSTEMS,
    Tool,
    find_tool,
    flags_of,
    intents,
    intents_source,
    refuse_group,
    tools,
)
from netinspect.teach.phrases import describe
from netinspect.teach.question import Question, question_of
from netinspect.teach.shell import Stage, Typed

# The systems on which lsof is at hand
WITH_LSOF = ("linux", "macos", "freebsd", "openbsd", "netbsd")
# The first of them is what people there use today.
PREFERRED = ("linux_ss", "freebsd_sockstat")


class Difference(Struct, frozen=True):
    """What a command gives otherwise than asked."""

    text: str
    lost: Annotated[bool, Meta(description="not given at all")]


class Translation(Struct, frozen=True):
    """How a tool is asked."""

    tool: str
    title: str
    commands: Annotated[tuple[str, ...], Meta(description="several where one cannot do it")]
    differences: tuple[Difference, ...]


class Reading(Struct, frozen=True):
    """What the command asks on some systems, and how that is asked on the other."""

    tools: Annotated[tuple[str, ...], Meta(description="those that read it so")]
    asks: Annotated[str, Meta(description="the question in words")]
    translations: tuple[Translation, ...]
    instead: Annotated[tuple[str, ...], Meta(description="where no tool there has an answer")]
    netinspect: Annotated[str | None, Meta(description="the command that asks it here")]


class Refusal(Struct, frozen=True):
    """A tool that does not take the command."""

    tool: str
    message: str


class Translations(Envelope, frozen=True, kw_only=True):
    """A command, its readings, and each one's translations."""

    command: tuple[str, ...]
    to: str
    readings: tuple[Reading, ...]
    refused_by: tuple[Refusal, ...]
    target_reading: Annotated[
        str | None,
        Meta(description="what the command asks where it is translated to, if it is taken"),
    ]


class Read(NamedTuple):
    """A command line as a tool reads it, with what its pipes keep."""

    line: CommandLine
    question: Question


def find_targets(word: str, this_system: str) -> tuple[str, list[Tool]]:
    """The name of what is translated to, and its tools, the usual one first.

    :raises UsageError: the word is neither a system nor a tool.
    """
    folded = word.casefold()
    name = SYSTEM_ALIASES.get(folded, folded)
    if name in SYSTEMS:
        found = [tool for tool in tools().values() if tool.system == name]
        found += [tools()["lsof"]] if name in WITH_LSOF else []
        return SYSTEMS[name], sorted(found, key=lambda tool: tool.id not in PREFERRED)
    if name in tools():
        return tools()[name].title, [tools()[name]]
    refuse_group(name)
    if name == "netinspect":
        raise UsageError("what to type here is always said: leave --to netinspect out")
    here = find_tool(this_system, name)
    found = [here] if here else [tool for tool in tools().values() if tool.program == name]
    if not found:
        programs = dict.fromkeys(tool.program for tool in tools().values())
        choices = (*SYSTEMS, *programs, *tools())
        raise UsageError(unknown_word("system or tool", word, choices))
    return found[0].title, found[:1]


def read_on(tool: Tool, typed: Typed) -> Read:
    """A command line as a tool reads it."""
    line = take_apart(tool.id, typed.argv)
    return Read(line, _refined(question_of(line), typed.stages))


def _refined(question: Question, stages: Iterable[Stage]) -> Question:
    """What the pipes keep of the rows is asked for too."""
    for stage in stages:
        kept = stage.kept
        if "state" in kept:
            (state,) = parse_states([fold(kept["state"])])
            name = "listening" if state == "LISTEN" else state
            question = question._replace(states=(name,))
        if "port" in kept and question.port is None:
            question = question._replace(port=kept["port"])
        if "protocol" in kept and not question.protocols:
            question = question._replace(protocols=(kept["protocol"],))
    return question


def readings(typed: Typed, sources: Sequence[Tool], targets: Sequence[Tool]) -> Iterator[Reading]:
    """The different questions that the command is, with their translations, the commonest first.

    What it asks where it is translated to needs no translation, if there is another reading.
    """
    own = own_reading(typed, targets)
    groups: dict[Question, list[Tool]] = {}
    for tool in sources:
        found = read_on(tool, typed)
        if found.line.error is None:
            groups.setdefault(found.question, []).append(tool)
    if own and len(groups) > 1:
        groups.pop(own.question, None)
    for question, readers in sorted(groups.items(), key=lambda item: -len(item[1])):
        yield _reading(question, readers, targets)


def _reading(question: Question, readers: Sequence[Tool], targets: Sequence[Tool]) -> Reading:
    answers = [answer for tool in targets if (answer := ask(question, tool))]
    answers.sort(key=lambda answer: answer.lost)
    return Reading(
        tools=tuple(tool.id for tool in readers),
        asks=describe(question, readers[0], has_default=False),
        translations=tuple(map(_translation, answers)),
        instead=() if answers else tuple(_instead(question, targets)),
        netinspect=own_form(question, readers[0]),
    )


def _translation(asked: Asked) -> Translation:
    return Translation(
        tool=asked.tool.id,
        title=asked.tool.title,
        commands=asked.commands,
        differences=tuple(Difference(r.text, r.is_lost) for r in asked.remarks),
    )


def _instead(question: Question, targets: Iterable[Tool]) -> Iterator[str]:
    """What the table of questions says where no flag asks."""
    names = [question.shows] if question.shows != "sockets" else list(question.asks)
    names += ["time_wait"] if question.states == ("TIME_WAIT",) else []
    for name in names:
        intent = intents().get(name)
        for tool in targets if intent else ():
            answer = intent.commands.get(tool.id) if intent else None
            if answer and answer.instead:
                yield f"{tool.title}: {answer.instead}"


def refusals(typed: Typed, asked: Iterable[Tool]) -> Iterator[Refusal]:
    """Who of these tools does not take the command, and what it says."""
    for tool in asked:
        error: Failure | None = read_on(tool, typed).line.error
        if error:
            yield Refusal(tool.id, error.message)


def find_sources(typed: Typed, named: Sequence[str], targets: Sequence[Tool]) -> list[Tool]:
    """Whose command it may be: that of the system that is named, else of any but the target.

    :raises UsageError: the system that is named has no such program or does not take the command,
        or no system does.
    """
    program = typed.argv[0]
    if named:
        found = tools_on(named, program, named[0])
        for tool in found:
            error = read_on(tool, typed).line.error
            if error:
                raise UsageError(f"{tool.title} does not take it: {error.message}")
        return found
    everywhere = same_name(program)
    takers = [tool for tool in everywhere if read_on(tool, typed).line.error is None]
    if not takers:
        said = "; ".join(
            f"{tools()[r.tool].title}: {r.message}" for r in refusals(typed, everywhere)
        )
        raise UsageError(f"no system takes {shlex.join(typed.argv)!r}: {said}")
    systems = {tool.system for tool in targets}
    foreign = [tool for tool in takers if tool.system not in systems]
    return foreign or takers


def elsewhere(typed: Typed, readers: Iterable[Tool]) -> dict[str, str]:
    """What to type on the systems that have no such program: the usual tool there, by its id."""
    read = next((r for r in (read_on(t, typed) for t in readers) if r.line.error is None), None)
    if read is None:
        return {}
    found: dict[str, str] = {}
    for system in (s for s in SYSTEMS if find_tool(s, typed.argv[0]) is None):
        _, targets = find_targets(system, system)
        answers = (ask(read.question, tool) for tool in targets if tool.system == system)
        best = min((a for a in answers if a), key=lambda answer: answer.lost, default=None)
        if best:
            found.setdefault(best.tool.id, "; ".join(best.commands))
    return found


def same_name(program: str) -> list[Tool]:
    """The tools of this name, on every system.

    :raises UsageError: there is none.
    """
    return [tool for tool in tools_on(["all"], program, "linux") if tool.program == _name(program)]


def _name(program: str) -> str:
    return program.rpartition("/")[2].removesuffix(".exe")


def own_reading(typed: Typed, targets: Iterable[Tool]) -> Read | None:
    """The command as it is read where it is translated to; None where it is not taken."""
    for tool in targets:
        if tool.program == _name(typed.argv[0]):
            found = read_on(tool, typed)
            return None if found.line.error else found
    return None


def target_reading(typed: Typed, targets: Iterable[Tool]) -> str | None:
    """What the command asks where it is translated to, in words."""
    own = own_reading(typed, targets)
    return describe(own.question, own.line.tool) if own else None


def sources_of(typed: Typed, chosen: Iterable[Tool], targets: Iterable[Tool]) -> Iterator[str]:
    """Where the meanings of the flags come from, and the commands that ask the same."""
    for tool in chosen:
        known = flags_of(tool)
        for option in take_apart(tool.id, typed.argv).options:
            yield (known.get(option.flag) or known[f"-{option.flag[1:]}"]).source
    yield from (tool.source for tool in targets)
    yield intents_source()
