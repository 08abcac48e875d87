from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import netinspect
from netinspect import _ROOM_OF

PACKAGE = Path(netinspect.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOT = "netinspect"

# Which rooms a room may import, besides itself.
LEAVES = {
    "addresses",
    "ends",
    "errors",
    "extended",
    "limits",
    "model",
    "query",
    "relay",
    "settings",
    "worker",
}
BELOW_API = LEAVES | {"filters", "grouping", "owners", "parse", "processes", "sources"}
BELOW_MONITOR = BELOW_API | {"api", "diagnose", "render", "teach"}
MAY_IMPORT: dict[str, set[str]] = {
    "addresses": set(),
    "errors": set(),
    "extended": set(),
    "model": {"extended"},
    "query": {"errors", "model"},
    "relay": {"errors", "worker"},
    "settings": set(),
    "worker": set(),
    "limits": set(),
    "ends": {"model", "settings"},
    "parse": LEAVES,
    "filters": LEAVES,
    "grouping": LEAVES,
    "render": LEAVES | {"diagnose", "grouping"},
    "diagnose": LEAVES,
    "teach": LEAVES | {"filters", "render"},
    "owners": LEAVES,
    "sources": LEAVES | {"parse"},
    "processes": LEAVES | {"parse", "sources"},
    "api": LEAVES | {"filters", "grouping", "owners", "processes", "sources"},
    "monitor": BELOW_MONITOR,
    "lab": BELOW_MONITOR,
    "cli": BELOW_MONITOR | {"lab", "monitor", "__init__"},
    # the front doors: the public names, and the script
    "__init__": LEAVES | {"api"},
    "__main__": {"cli"},
}

# What makes start-up slow, and what is only for one command.
HEAVY = ("asyncio", "ipaddress", "msgspec", "psutil", "tabulate")
LOADED = f"import sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    """The rooms of ours that a module imports, also inside of functions and for type checking."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from room_of_name(alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            module = node.module or ""
            for alias in node.names:
                is_package = module == ROOT
                yield from room_of_name(f"{module}.{alias.name}" if is_package else module)


def room_of_name(name: str) -> Iterator[str]:
    """The room in a dotted name; `__init__` for what stands in the package itself."""
    first, _, rest = name.partition(".")
    if first == ROOT:
        room = rest.partition(".")[0]
        yield room if (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").exists() else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is not in the table"
    imported = set(imported_rooms(ast.parse(path.read_bytes())))
    assert imported <= MAY_IMPORT[room] | {room}


def test_nobody_imports_cli() -> None:
    importers = {room for room, rooms in MAY_IMPORT.items() if "cli" in rooms}
    assert importers == {"__main__"}


def test_the_reading_of_imports_sees_them_all() -> None:
    source = """
import os, netinspect.api
from netinspect import __version__, model
from netinspect.parse.netlink import Reply
from netinspection import cli
def late():
    from netinspect.sources import select
if TYPE_CHECKING:
    import netinspect.render.table as table
"""
    rooms = set(imported_rooms(ast.parse(source)))
    assert rooms == {"api", "__init__", "model", "parse", "sources", "render"}


def test_the_public_names_come_from_the_rooms_that_they_may() -> None:
    rooms = set(_ROOM_OF.values())
    assert rooms <= MAY_IMPORT["__init__"]
    assert set(_ROOM_OF) | {"__version__"} == set(netinspect.__all__)
    for name in netinspect.__all__:
        assert getattr(netinspect, name) is not None


def test_a_name_that_is_not_public() -> None:
    with pytest.raises(AttributeError) as caught:
        netinspect.nothing  # noqa: B018 the access is what is tested
    assert str(caught.value) == "module 'netinspect' has no attribute 'nothing'"


def test_the_guide_has_all_rooms() -> None:
    guide = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (`[^|]*) \|.*\|.*\|$", guide.partition("## Style")[0])
    rooms = {room for row in rows for room in re.findall(r"`(\w+)`", row)}
    assert rooms == set(MAY_IMPORT) - {"__init__", "__main__"}


def test_no_room_is_empty() -> None:
    for folder in sorted({path.parent for path in MODULES}):
        others = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert others, f"{name_of(folder)} has no modules"
    for path in MODULES:
        if path.name != "__init__.py":
            assert has_code(path), f"{name_of(path)} has no code"


def has_code(path: Path) -> bool:
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    return any(isinstance(node, kinds) for node in ast.parse(path.read_bytes()).body)


def test_every_room_has_its_docstring() -> None:
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_bytes())), name_of(path)


def run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("module", ["netinspect", "netinspect.cli.app"])
def test_what_loads_little(module: str) -> None:
    done = run(f"import {module}; {LOADED}")
    assert (done.stdout, done.stderr) == ("\n", "")


def test_the_package_itself_loads_nothing_of_ours() -> None:
    done = run("import netinspect, sys; print(*(m for m in sys.modules if 'netinspect' in m))")
    assert done.stdout == "netinspect\n"


RUN = f"""
import sys
from netinspect.cli.app import run
status = run(sys.argv[1:])
sys.stdout.flush()
sys.stdout = sys.stderr
{LOADED}
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["list", "--help"], 0),
        (["summary", "--help"], 0),
        (["lab", "--help"], 0),
        (["schema", "--help"], 0),
        (["completion", "--help"], 0),
        (["as", "--help"], 0),
        (["compare", "--help"], 0),
        (["as", "gnu", "-tan"], 2),
        (["port", "--help"], 0),
        (["time-wait", "--help"], 0),
        (["time-wait", "--watch", "often"], 2),
        (["port"], 2),
        (["--no-such-option"], 2),
        (["--limit", "many"], 2),
        (["lsit"], 2),
        (["lab", "time-wiat"], 2),
        (["-tulpn"], 2),
        (["list", "list"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_errors_of_usage_load_little(args: list[str], status: int) -> None:
    done = run(RUN, *args)
    assert done.returncode == status
    assert done.stderr.splitlines()[-1] == ""
    assert bool(done.stdout) == (status == 0)


def test_the_check_of_what_is_loaded_works() -> None:
    done = run(RUN, "schema")
    assert done.stderr == "msgspec\n"


@pytest.mark.parametrize(
    "words",
    [
        ["flags"],
        ["explain", "--on", "all", "--", "netstat", "-tulpn"],
        ["translate", "--to", "linux", "--", "netstat", "-anp", "tcp"],
        ["states", "time-wait"],
    ],
    ids=lambda words: words[0],
)
def test_teaching_loads_nothing_that_reads_sockets(words: list[str]) -> None:
    spared = ("socket", "netinspect.query", "netinspect.api", "netinspect.render.columns")
    loaded = f"print(*sorted(set({spared!r}) & set(sys.modules)), file=sys.stderr)"
    done = run(
        f"import sys; from netinspect.cli.app import run; run(sys.argv[1:]); {loaded}", *words
    )
    assert done.stdout
    assert done.stderr == "\n"
