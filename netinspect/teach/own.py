"""The netinspect command that asks a question."""

from __future__ import annotations

import shlex

from netinspect.filters.words import PROTOCOL_WORDS
from netinspect.teach.question import Question

OPTIONS = {
    "port": "--port",
    "address": "--addr",
    "pid": "--pid",
    "user": "--user",
    "command": "--process",
}
EXTENDED = frozenset({"extended", "memory", "tcp_internals", "byte_counters"})
DEFAULT = ("tcp", "udp")


def own_command(question: Question, *, has_default_protocols: bool = False) -> str | None:
    """What to type here; None where netinspect has no answer.

    :param has_default_protocols: a question that names no protocol means TCP and UDP, not all.
    """
    if question.shows == "summary":
        return "netinspect summary --proto all"
    if question.shows != "sockets" or question.netns is not None:
        return None
    if "kill_socket" in question.asks or not set(question.protocols) <= set(PROTOCOL_WORDS):
        return None
    words = ["netinspect", *_states(question), *_protocols(question, has_default_protocols)]
    words += {"ipv4": ["-4"], "ipv6": ["-6"]}.get("".join(question.families), [])
    for name, option in OPTIONS.items():
        value = getattr(question, name)
        if value is not None:
            words += [option, value.strip("[]")]
    words += _output(question)
    if question.expression:
        words.append(question.expression)
    return shlex.join(words)


def _states(question: Question) -> list[str]:
    if not question.states:
        return ["-s", "connected"]
    if "all" in question.states:
        return []
    if question.states == ("listening",):
        return ["-l"]
    return ["-s", ",".join(state.lower().replace("_", "-") for state in question.states)]


def _protocols(question: Question, has_default_protocols: bool) -> list[str]:
    if not question.protocols:
        return [] if has_default_protocols else ["--proto", "all"]
    return (
        [] if set(question.protocols) == set(DEFAULT) else ["--proto", ",".join(question.protocols)]
    )


def _output(question: Question) -> list[str]:
    words: list[str] = []
    if EXTENDED & set(question.asks):
        words.append("-e")
    if "timers" in question.asks:
        words += ["--columns", "proto,state,local,remote,timer"]
    if "no_header" in question.asks:
        words.append("--no-header")
    if "terse" in question.asks:
        words += ["--columns", "pid", "--no-header", "-o", "tsv"]
    if "json" in question.asks:
        words.append("--json")
    return words
