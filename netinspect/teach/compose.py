"""A question put together as one command line of a tool.

The flags come from the same table that explains them, read the other way round: by effect. What no
flag says goes through a pipe, as `| grep LISTEN`.
"""

from __future__ import annotations

import re
import shlex

from netinspect.teach.getopt import take_apart
from netinspect.teach.knowledge import Tool, flags_of, intents
from netinspect.teach.question import Question
from netinspect.teach.states import state_table

# Flags of these kinds are not recommended.
POOR = frozenset({"undocumented", "rejected", "broken", "obsolete", "man-only"})
FAMILY_WORDS = {"ipv4": "inet", "ipv6": "inet6"}
# Where all states are shown without a flag
SHOWS_ALL = ("lsof", "freebsd_sockstat", "netbsd_sockstat")
# What the table of questions gives for a value, and the values of its examples
PIPED = {"pid": ("by_pid", "1234"), "user": ("by_user", "1000", "root")}


class CommandText:
    """A command line while it is put together."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.letters = ""
        self.arguments: list[str] = []
        self.operands: list[str] = []
        self.pipes: list[str] = []
        self.before = ""
        self.behind = ""

    def add(self, flag: str, value: str | None = None) -> None:
        """One flag; letters stand together."""
        if value is not None:
            self.arguments += [flag, value]
        elif len(flag) == 2 and flag.startswith("-"):
            self.letters += "" if flag[1] in self.letters else flag[1]
        else:
            self.arguments.append(flag)

    def text(self) -> str:
        """The whole line."""
        letters = [f"-{self.letters}"] if self.letters else []
        words = [self.tool.program, *letters, *self.arguments, *self.operands]
        line = shlex.join(words)
        return " | ".join([f"{self.before}{line}", *self.pipes]) + self.behind


def flag_of(tool: Tool, effect: str) -> str | None:
    """The flag that has this effect and no other."""
    for flag in flags_of(tool).values():
        if flag.effect == (effect,) and flag.status not in POOR:
            return flag.name
    return None


def flags_for(tool: Tool, name: str) -> list[str]:
    """The flags that show something: those by which the table of questions asks, if it does."""
    able = [
        flag.name
        for flag in dict.fromkeys(flags_of(tool).values())
        if name in flag.effect and not any("=" in effect for effect in flag.effect)
    ]
    answer = intents()[name].commands.get(tool.id) if name in intents() else None
    used = flags_in(answer.command if answer else None, tool)
    return [flag for flag in able if flag in used] or able[:1]


def flags_in(command: str | None, tool: Tool) -> set[str]:
    """The flags of a command line as it stands in the table of questions, or as we typed it."""
    if command is None:
        return set()
    words = shlex.split(re.split(r" \| |; ", command.removeprefix("while :; do "))[0])
    if tool.program not in words:
        return set()
    line = take_apart(tool.id, words[words.index(tool.program) :])
    return {option.flag for option in line.options}


def protocol_word(protocol: str) -> str:
    """What a flag that takes protocols calls one: the BSDs know raw sockets as those of ip."""
    return "ip" if protocol == "raw" else protocol


def compose(question: Question, tool: Tool) -> CommandText:
    """One command line; a question about several protocols may need several."""
    command = CommandText(tool)
    if tool.id == "lsof":
        _add_internet(command, question)
    else:
        _add_protocols(command, question)
    _add_states(command, question)
    _add_asks(command, question)
    _add_limits(command, question)
    _add_repeat(command, question)
    return command


def _add_internet(command: CommandText, question: Question) -> None:
    """One -i of lsof says family, protocol, address and port."""
    if question.protocols == ("unix",):
        command.add("-U")
        return
    version = {"ipv4": "4", "ipv6": "6"}.get("".join(question.families), "")
    hosts = f"@{question.address}" if question.address else ""
    ports = f":{question.port}" if question.port else ""
    # one protocol a -i; TCP and UDP are all there are
    names = [p.upper() for p in question.protocols] if len(question.protocols) == 1 else [""]
    for name in names:
        command.arguments.append(f"-i{version}{name}{hosts}{ports}")
    if question.pid or question.user or question.command:
        command.add("-a")


def _add_protocols(command: CommandText, question: Question) -> None:
    tool = command.tool
    letters = [flag_of(tool, f"protocol={protocol}") for protocol in question.protocols]
    if tool.system == "windows":
        _add_windows(command, question)
    elif all(letters):
        for letter in letters:
            command.add(letter or "")
    elif question.protocols == ("unix",):
        command.add("-f", "unix")
    elif flag_of(tool, "protocol=*"):
        flag = flag_of(tool, "protocol=*") or ""
        command.add(flag, ",".join(map(protocol_word, question.protocols)))
    else:
        command.pipes += [f"grep '^{protocol}'" for protocol in question.protocols]
    for family in question.families if tool.system != "windows" else ():
        letter = flag_of(tool, f"family={family}")
        if letter:
            command.add(letter)
        elif flag_of(tool, "family=*"):
            command.add(flag_of(tool, "family=*") or "", FAMILY_WORDS[family])


def _add_windows(command: CommandText, question: Question) -> None:
    """-p says protocol and family at once."""
    version = "v6" if question.families == ("ipv6",) else ""
    for protocol in question.protocols:
        command.add("-p", f"{protocol.upper()}{version}")


def _add_states(command: CommandText, question: Question) -> None:
    tool, states = command.tool, question.states
    if not states:
        if tool.program == "sockstat":
            command.add("-c")
        return
    if states == ("all",):
        if tool.id not in SHOWS_ALL:
            command.add(flag_of(tool, "states=all") or "-a")
        return
    if states == ("listening",) and flag_of(tool, "states=listening"):
        command.add(flag_of(tool, "states=listening") or "")
        return
    names = ["LISTEN" if state == "listening" else state for state in states]
    if tool.id == "linux_ss":
        command.operands += [word for name in names for word in ("state", _keyword(name))]
    elif tool.id == "lsof":
        if question.protocols != ("udp",):
            command.arguments.append(f"-sTCP:{','.join(_spelling(n, 'lsof_linux') for n in names)}")
    else:
        if tool.id not in SHOWS_ALL:
            command.add(flag_of(tool, "states=all") or "-a")
        if tool.program == "sockstat":
            command.add("-s")  # the column of states
        if question.protocols != ("udp",):
            command.pipes.append(_grep(tool, [_spelling(name, tool.id) for name in names]))


def _keyword(state: str) -> str:
    """What ss calls a state in its filter; its groups stay what they are."""
    return next((s.ss_filter_keywords[0] for s in state_table().states if s.state == state), state)


def _spelling(state: str, tool: str) -> str:
    """How a tool prints a state."""
    named = next((s for s in state_table().states if s.state == state), None)
    return named.prints.get(tool, state) if named else state


def _grep(tool: Tool, words: list[str]) -> str:
    if tool.system == "windows":
        return f'findstr "{" ".join(words)}"' if len(words) > 1 else f"findstr {words[0]}"
    if len(words) == 1:
        return f"grep {shlex.quote(words[0])}"
    return f"grep -E {shlex.quote('|'.join(words))}"


def _grep_port(tool: Tool, port: str) -> str:
    """Rows with a port, and not with a longer number: a blank stands behind it."""
    if tool.system == "windows":
        return f'findstr ":{port} "'
    mark = "[.]" if tool.separator == "." else tool.separator
    return f"grep {shlex.quote(f'{mark}{port} ')}"


def _add_asks(command: CommandText, question: Question) -> None:
    """What is to be shown of the sockets; numbers first, as people type it."""
    for name in sorted(question.asks, key=lambda name: name != "numeric"):
        if name == "numeric" and command.tool.id == "lsof":
            command.letters += "nP"
        elif name == "json":
            _add_machine_form(command)
        else:
            for flag in flags_for(command.tool, name):
                command.add(flag)


def _add_machine_form(command: CommandText) -> None:
    """What programs can read, with the fields that the table of questions names."""
    if command.tool.id == "lsof":
        command.add("-F", "pcPtnT")
    elif command.tool.has_libxo:
        command.add("--libxo", "json,pretty")


def _add_limits(command: CommandText, question: Question) -> None:
    """Port, address, process and user."""
    if command.tool.id == "lsof":
        for value, flag in ((question.pid, "-p"), (question.user, "-u"), (question.command, "-c")):
            if value:
                command.add(flag, value)
        return
    if command.tool.id == "linux_ss":
        command.operands += _ss_expression(question)
    else:
        _add_ends(command, question)
    for name, (intent, *examples) in PIPED.items():
        value = getattr(question, name)
        if value:
            _add_pipe_of_table(command, intent, dict.fromkeys(examples, value))


def _add_ends(command: CommandText, question: Question) -> None:
    """Port and address, where no filter language takes them."""
    if question.port and command.tool.program == "sockstat":
        command.letters += "46"  # unix sockets pass the filter by port
        command.add("-p", question.port)
    elif question.port:
        command.pipes.append(_grep_port(command.tool, question.port))
    if question.address:
        command.pipes.append(_grep(command.tool, [question.address]))


def _add_pipe_of_table(command: CommandText, intent: str, values: dict[str, str]) -> None:
    """The pipe by which the table of questions selects, with the value that was asked for."""
    tool = command.tool
    answer = intents()[intent].commands.get(tool.id)
    if answer is None or answer.command is None or "| " not in answer.command:
        return
    if intent == "by_user" and tool.program != "sockstat":
        for flag in flags_for(tool, "extended"):
            command.add(flag)  # the column of users
    pipe = answer.command.partition("| ")[2]
    for example, value in values.items():
        pipe = pipe.replace(example, value)
    command.pipes.append(pipe)


def _ss_expression(question: Question) -> list[str]:
    """The filter of ss: its tokens need blanks between them, and quotes around parentheses."""
    conditions: list[str] = []
    if question.port:
        conditions.append(f"( sport = :{question.port} or dport = :{question.port} )")
    if question.address:
        conditions.append(f"( src {question.address} or dst {question.address} )")
    if question.expression:
        conditions.append(question.expression)
    return [" and ".join(conditions)] if conditions else []


def _add_repeat(command: CommandText, question: Question) -> None:
    tool = command.tool
    if question.netns is not None and flag_of(tool, "netns=*"):
        command.add(flag_of(tool, "netns=*") or "", question.netns)
    elif question.netns is not None and tool.system in ("linux", "busybox"):
        command.before = f"ip netns exec {question.netns} "
    if question.repeat is None:
        return
    seconds = question.repeat or "1"
    if tool.id == "windows_netstat":
        command.operands.append(seconds)
    elif tool.id == "lsof":
        command.add("-r", seconds)
    elif tool.id == "linux_netstat" and seconds == "1":
        command.add("-c")
    elif tool.system in ("linux", "busybox"):
        command.before = f"watch -n {seconds} {command.before}"
    else:
        command.before, command.behind = "while :; do ", f"; sleep {seconds}; done"
