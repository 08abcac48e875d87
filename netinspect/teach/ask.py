"""A question as the command lines of a tool that ask it, and what is lost.

What cannot be had is lost, and intents.json says what to do instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netinspect.teach.compose import CommandText, compose, flag_of, flags_in, protocol_word
from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import Answer, Tool, conflicts, intents
from netinspect.teach.question import Question

PROTOCOL_INTENTS = {
    "tcp": "tcp_only",
    "udp": "udp_only",
    "unix": "unix_sockets",
    "raw": "raw_sockets",
}
SUBJECT_INTENTS = ("routing", "interfaces", "statistics", "multicast", "summary")
# What cannot be left out: the question is about it.
ESSENTIAL = frozenset({"kill_socket", "unix_sockets", "raw_sockets", "time_wait"})
VALUE_INTENTS = {
    "port": "by_port",
    "address": "by_address",
    "pid": "by_pid",
    "user": "by_user",
    "netns": "by_netns",
}
# The values of the examples in the table of questions
EXAMPLES = {"22": "port", "192.0.2.1": "address", "1234": "pid"}
# Where one command names several protocols with one flag
SEVERAL = ("lsof", "freebsd_sockstat")
# Of sockstat of NetBSD the table of questions says nothing.
UNKNOWN = Answer("yes", None)
NEEDS_ROOT = ("linux_netstat", "linux_ss", "busybox_netstat", "lsof")
SUDO = "without sudo the processes of other users stay hidden"


class Remark(NamedTuple):
    """What a command does not give as it was asked; `is_lost`: not at all."""

    intent: str
    text: str
    is_lost: bool


class Asked(NamedTuple):
    """Command lines that ask a question of a tool, several where one cannot, and what differs."""

    tool: Tool
    commands: tuple[str, ...]
    remarks: tuple[Remark, ...]

    @property
    def lost(self) -> int:
        """How much is not given."""
        return sum(remark.is_lost for remark in self.remarks)


def ask(question: Question, tool: Tool) -> Asked | None:
    """How a tool is asked; None where it has no answer at all."""
    if question.shows != "sockets":
        return _ask_other(question, tool)
    question, unfit = _without_unfit(question, tool)
    answers = dict(_answers(question, tool))
    refused = [intent for intent in answers if answers[intent].support == "no"]
    if ESSENTIAL.intersection(refused) or _lacks_states(question, tool):
        return None
    if not all(_takes(tool, protocol) for protocol in question.protocols):
        return None
    parts = [question._replace(protocols=(p,)) for p in question.protocols]
    has_several = len(parts) > 1 and not _takes_several(tool, question.protocols)
    whole = parts if has_several else [question]
    commands = tuple(dict.fromkeys(compose(part, tool).text() for part in whole))
    return Asked(tool, commands, (*unfit, *_remarks(question, tool, answers, commands)))


def _without_unfit(question: Question, tool: Tool) -> tuple[Question, list[Remark]]:
    """The question without values that a tool cannot compare, and what is lost by that."""
    lost: list[Remark] = []
    if question.address and "/" in question.address and tool.id != "linux_ss":
        text = f"network {question.address}: only ss compares networks, others single addresses"
        lost.append(Remark("by_address", text, True))
        question = question._replace(address=None)
    if question.user and not question.user.isdigit() and tool.id == "linux_ss":
        text = f"user {question.user}: ss shows numbers; add -e and grep uid: with the number"
        lost.append(Remark("by_user", text, True))
        question = question._replace(user=None)
    return question, lost


def _takes(tool: Tool, protocol: str) -> bool:
    """Whether a tool can be asked for the sockets of a protocol."""
    if tool.id == "lsof":
        return protocol in ("tcp", "udp", "udplite", "unix")
    if flag_of(tool, f"protocol={protocol}") or (protocol == "unix" and flag_of(tool, "family=*")):
        return True
    flag = flag_of(tool, "protocol=*")
    patterns = [rule.pattern for rule in tool.values if rule.flag == flag]
    if patterns:
        return all(re.fullmatch(pattern, protocol_word(protocol)) for pattern in patterns)
    return protocol in ("tcp", "udp")  # by grep


def _lacks_states(question: Question, tool: Tool) -> bool:
    """Sockstat of NetBSD has no column of states, and closes nothing."""
    is_told = question.states in ((), ("all",), ("listening",))
    return tool.id == "netbsd_sockstat" and (not is_told or "kill_socket" in question.asks)


def _takes_several(tool: Tool, protocols: tuple[str, ...]) -> bool:
    return all(flag_of(tool, f"protocol={p}") for p in protocols) or tool.id in SEVERAL


def _ask_other(question: Question, tool: Tool) -> Asked | None:
    """What is not about sockets: as the table of questions has it."""
    if question.shows not in SUBJECT_INTENTS:
        return None
    answer = intents()[question.shows].commands.get(tool.id, UNKNOWN)
    if answer.command is None:
        return None
    command = answer.command
    if question.shows == "statistics" and question.protocols:
        command = _statistics(question, tool)
    partial = answer.note if answer.support == "partial" else None
    remarks = (Remark(question.shows, partial, False),) if partial else ()
    return Asked(tool, (command,), remarks)


def _statistics(question: Question, tool: Tool) -> str:
    command = CommandText(tool)
    flag = flag_of(tool, "show=statistics")
    if flag:
        command.add(flag)
    for protocol in question.protocols:
        letter = flag_of(tool, f"protocol={protocol}")
        if letter:
            command.add(letter)
        else:
            command.add("-p", protocol.upper() if tool.system == "windows" else protocol)
    return command.text()


def _intents_of(question: Question) -> Iterator[str]:
    """The questions of the table that this one is made of."""
    yield from (PROTOCOL_INTENTS[p] for p in question.protocols if p in PROTOCOL_INTENTS)
    yield from (f"{family}_only" for family in question.families)
    if question.states == ("listening",):
        yield "listening"
    elif question.states == ("TIME_WAIT",):
        yield "time_wait"
    elif question.states not in ((), ("all",)):
        yield "by_state"
    yield from (i for name, i in VALUE_INTENTS.items() if getattr(question, name) is not None)
    yield from (name for name in question.asks if name in intents() and name != "by_state")


def _answers(question: Question, tool: Tool) -> Iterator[tuple[str, Answer]]:
    for intent in dict.fromkeys(_intents_of(question)):
        yield intent, intents()[intent].commands.get(tool.id, UNKNOWN)


def _partly(intent: str, answer: Answer, tool: Tool, commands: Iterable[str]) -> str:
    """The note of the table, which may be about another command than ours."""
    wanted = flags_in(answer.command, tool)
    is_ours = any(wanted <= flags_in(command, tool) for command in commands)
    is_ours = is_ours or intent in VALUE_INTENTS.values()
    return answer.note or "" if is_ours else f"`{answer.command}`: {answer.note}"


def _remarks(
    question: Question, tool: Tool, answers: dict[str, Answer], commands: Iterable[str]
) -> Iterator[Remark]:
    """What is lost, what differs, and what has to be added."""
    for intent, answer in answers.items():
        title = intents()[intent].title
        if answer.support == "no":
            instead = f"; instead: {answer.instead}" if answer.instead else ""
            yield Remark(intent, f"{title}{_with_values(instead, question)}", True)
        elif answer.support == "partial" and answer.note:
            note = _with_values(_partly(intent, answer, tool, commands), question)
            yield Remark(intent, f"{title}: {note}", False)
    if "terse" in question.asks and not flag_of(tool, "terse"):
        yield Remark("terse", "the PIDs alone: only lsof -t prints no more", True)
    default = conflicts().behaviour.default_states.get(tool.id)
    if not question.states and default:
        yield Remark("states", f"states, as none are named: {default}", False)
    if question.expression and tool.id != "linux_ss":
        yield Remark("expression", f"the filter `{question.expression}`: only ss has it", True)
    if not question.protocols and tool.id == "lsof":
        yield Remark("all_sockets", "only TCP and UDP: add -U for unix-domain sockets", False)
    if "process" in question.asks and tool.id in NEEDS_ROOT:
        yield Remark("process", SUDO, False)
    has_udp = question.states == ("listening",) and "udp" in question.protocols
    if has_udp and (tool.id == "lsof" or not flag_of(tool, "states=listening")):
        yield Remark("listening", "UDP has no listening state: all its sockets are shown", False)


def _with_values(text: str, question: Question) -> str:
    """A text of the table, with the values that were asked for in place of its examples."""
    for example, value in EXAMPLES.items():
        asked = getattr(question, value)
        if asked:
            literal = asked.replace("\\", r"\\")
            text = re.sub(rf"\b{re.escape(example)}\b", literal, text)
    return text


def is_taken(asked: Asked) -> bool:
    """Whether the tool takes what we would have typed, as far as can be told without a shell."""
    for command in asked.commands:
        words = shlex.split(re.split(r" \| |; ", command.removeprefix("while :; do "))[0])
        start = words.index(asked.tool.program)
        if take_apart(asked.tool.id, words[start:]).error is not None:
            return False
    return True
