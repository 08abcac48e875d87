"""States as text: one in full, with its place in the state machine, or several as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netinspect.render.escape import display_width
from netinspect.render.wrapped import paragraph, wrapped_table
from netinspect.teach.knowledge import SYSTEMS
from netinspect.teach.states import OtherState, TcpState, diagram, spellings, state_table

INDENT = "  "
# What prints states besides the netstats
PRINTERS = {
    "linux_ss": "ss",
    "freebsd_sockstat": "sockstat",
    "netbsd_netstat_An": "netstat -An of NetBSD",
    "powershell": "PowerShell",
    "lsof_linux": "lsof on Linux",
    "lsof_bsd_macos": "lsof on macOS and the BSDs",
    "psutil": "psutil",
}


def state_lines(state: TcpState, width: int) -> Iterator[str]:
    """One state: what it means, who waits, how long, what a pile means, where it stands."""
    yield from paragraph(f"{state.state}: {state.description}", width)
    yield ""
    yield from paragraph(state.meaning, width)
    yield ""
    yield from paragraph(state.waits, width, first="Who waits: ", indent=INDENT)
    yield "How long:"
    for duration in state.lasts:
        setting = f"; set by {duration.setting}" if duration.setting else ""
        system = SYSTEMS.get(duration.system, duration.system)
        first = f"{INDENT}{system:<12} "
        yield from paragraph(
            f"{duration.text}{setting}", width, first=first, indent=" " * len(first)
        )
    yield from paragraph(state.pile, width, first="Many of them: ", indent=INDENT)
    yield ""
    yield from diagram([state], width)
    yield ""
    yield from _spelling_lines(state, width)
    yield from _number_lines(state, width)
    word = state.state.lower().replace("_", "-")
    yield f"Show them: netinspect -s {word}"


def _spelling_lines(state: TcpState, width: int) -> Iterator[str]:
    yield "Spelling:"
    found = spellings(state)
    longest = max(display_width(spelling) for spelling, _ in found)
    for spelling, tools in found:
        first = f"{INDENT}{spelling:<{longest}}  "
        yield from paragraph(_printers(tools), width, first=first, indent=" " * len(first))
    keywords = ", ".join(f"state {keyword}" for keyword in state.ss_filter_keywords)
    yield f"{INDENT}ss takes: {keywords}"


def _printers(tools: Sequence[str]) -> str:
    """Who prints a spelling: `netstat on Linux and macOS; ss; lsof`."""
    systems = [_system(tool) for tool in tools if tool.endswith("_netstat")]
    others = [PRINTERS[tool] for tool in tools if tool in PRINTERS]
    if "lsof on Linux" in others and "lsof on macOS and the BSDs" in others:
        others = [name for name in others if not name.startswith("lsof")] + ["lsof"]
    netstat = [f"netstat on {', '.join(systems)}"] if systems else []
    return "; ".join([*netstat, *others])


def _system(tool: str) -> str:
    system = tool.removesuffix("_netstat")
    return SYSTEMS.get(system, system.capitalize())


def _number_lines(state: TcpState, width: int) -> Iterator[str]:
    mib = f"{state.tcp_mib.name}({state.tcp_mib.number})"
    numbers = (
        f"{state.linux_kernel_number} on Linux ({state.linux_proc_hex} in /proc/net/tcp), "
        f"{state.bsd_number} on macOS and the BSDs, {state.windows_mib_number} on Windows, "
        f"{mib} in the TCP-MIB"
    )
    yield from paragraph(numbers, width, first="Number: ", indent=INDENT)


def other_lines(other: OtherState, width: int) -> Iterator[str]:
    """A word that is no state of RFC 9293."""
    yield from paragraph(f"{other.name} ({other.where})", width)
    if other.note:
        yield from paragraph(other.note, width, first=INDENT, indent=INDENT)


def table_lines(states: Sequence[TcpState], width: int) -> Iterator[str]:
    """Several states, a row each."""
    rows = [(state.state, state.description, state.waits, _lasts(state)) for state in states]
    yield from wrapped_table(("state", "means", "who waits, for what", "lasts"), rows, width)


def _lasts(state: TcpState) -> str:
    """How long, on the first system that is named."""
    first = state.lasts[0]
    return first.text if first.system == "every system" else f"{first.text} ({first.system})"


def source_lines(states: Sequence[TcpState], width: int) -> Iterator[str]:
    """Where each fact comes from."""
    yield "Sources:"
    for state in states:
        yield from _sources_of(state, width)
    tools = {tool for state in states for tool in state.prints}
    table = state_table()
    for tool, source in table.sources.items():
        if any(tool.split("_")[0] in name for name in tools):
            yield from paragraph(source, width, first=f"{INDENT}{tool}: ", indent=INDENT * 2)
    yield from paragraph(table.diagram_source, width, first=f"{INDENT}diagram: ", indent=INDENT * 2)


def _sources_of(state: TcpState, width: int) -> Iterator[str]:
    yield from paragraph(state.source, width, first=f"{INDENT}{state.state}: ", indent=INDENT * 2)
    for duration in state.lasts:
        first = f"{INDENT}{state.state}, how long on {duration.system}: "
        yield from paragraph(duration.source, width, first=first, indent=INDENT * 2)
