from __future__ import annotations

import html
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
import tabulate
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.model import Connection
from netinspect.render.columns import find_column
from netinspect.render.dialects import DIALECTS
from netinspect.render.escape import UNSAFE_IN_CELL, display_width
from netinspect.render.named import OWN_FORMATS, check_format, named_formats
from tests.records import ANY_CONNECTIONS, HOSTILE_NAMES, made, named, rendered

ALL_FORMATS = (*OWN_FORMATS, *DIALECTS)
ROWS = st.lists(ANY_CONNECTIONS, min_size=1, max_size=4)
COLUMNS = "local user process state recv_q"
TITLES = ["LOCAL", "USER", "PROCESS", "STATE", "RECV-Q"]


def all_cells(rows: list[Connection]) -> list[list[str]]:
    """What the rows say, without the blanks at the ends, which padding hides."""
    cells = [find_column(name).cells(rows) for name in COLUMNS.split()]
    return [[cell.strip() for cell in row] for row in zip(*cells, strict=True)]


# What a program that knows the format reads: a list of cells for each row, the titles first.


def unbackslashed(cell: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell.strip())


def read_markdown(text: str) -> list[list[str]]:
    """GitHub's: a | with an odd number of backslashes before it is a part of the cell."""
    header, _line, *rows = text.splitlines()
    cell = re.compile(r"\|((?:\\.|[^\\|])*)")
    return [[unbackslashed(c) for c in cell.findall(line)[:-1]] for line in (header, *rows)]


def read_org(text: str) -> list[list[str]]:
    header, _line, *rows = text.splitlines()
    lines = [line.split("|")[1:-1] for line in (header, *rows)]
    bar = r"(?<!\\)((?:\\\\)*)\\vert\{\}"
    return [[re.sub(bar, r"\1|", cell.strip()) for cell in line] for line in lines]


def read_rst(text: str) -> list[list[str]]:
    """A simple table: the columns are where the lines of = are."""
    border, header, _border, *rows, _end = text.splitlines()
    spans = [match.span() for match in re.finditer("=+", border)]
    lines = [[in_places(line, *span) for span in spans] for line in (header, *rows)]
    return [[unbackslashed(cell) for cell in line] for line in lines]


def in_places(line: str, start: int, end: int) -> str:
    """What stands in these places of a terminal. Nothing may stand across a border."""
    left, cell = 0, ""
    for character in line:
        if start <= left < end:
            cell += character
        left += display_width(character)
    return cell


def read_wiki(separators: str, skipped: str = "(?!)") -> Callable[[str], list[list[str]]]:
    def read(text: str) -> list[list[str]]:
        lines = [line for line in text.splitlines() if not re.match(skipped, line)]
        cells = [re.split(separators, line.strip()) for line in lines]
        return [[html.unescape(cell).strip() for cell in line if cell.strip()] for line in cells]

    return read


def read_latex(text: str) -> list[list[str]]:
    lines = [line.removesuffix("\\\\") for line in text.splitlines() if line.endswith("\\\\")]
    return [[unlatexed(cell) for cell in re.split(r"(?<!\\)&", line)] for line in lines]


def unlatexed(cell: str) -> str:
    code = r"\\textbackslash\{\}|\\textasciitilde\{\}|\\ensuremath\{(.)\}|\\\^\{\}|\\([&%$#_{}])"
    plain = {"\\textbackslash{}": "\\", "\\textasciitilde{}": "~", "\\^{}": "^"}
    return re.sub(code, lambda m: plain.get(m[0]) or m[1] or m[2], cell.strip())


class HtmlReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert attrs == []
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def read_html(text: str) -> list[list[str]]:
    reader = HtmlReader()
    reader.feed(text)
    assert reader.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    return [[cell.strip() for cell in row] for row in reader.rows]


READERS = {
    "asciidoc": read_wiki(r"\|", r"\[cols=|\|===="),
    "github": read_markdown,
    "html": read_html,
    "jira": read_wiki(r"\|\|?"),
    "latex": read_latex,
    "latex_booktabs": read_latex,
    "latex_longtable": read_latex,
    "mediawiki": read_wiki(r"^!|!!|^\||\|\|", r"\{\||\|\+|\|-|\|\}"),
    "moinmoin": read_wiki(r"\|\|(?: ''')?|''' "),
    "orgtbl": read_org,
    "pipe": read_markdown,
    "rst": read_rst,
    "textile": read_wiki(r"\|(?:_\.|<\.)?"),
    "youtrack": read_wiki(r"\|\|?"),
}
# Code that is still there when what is escaped has been taken out
WIKI_CODE = r"&#\d+;|^\s*-\s*$|(?<=[^\W_])[-_.:/%](?=[^\W_])"
MARKDOWN_CODE = r"\\[!-/:-@\[-`{-~]|^\s*\*\s*$|(?<=[^\W_])_(?=[^\W_])"


@pytest.mark.parametrize("output", READERS)
@settings(max_examples=25)
@given(rows=ROWS)
@example(rows=[named("|"), named("||"), named("\\\\|"), named("\\\\")])
@example(rows=[named("</td><script>alert(1)</script>"), named("&lt;"), named("&#124;")])
@example(rows=[named(".. include:: /etc/passwd"), named("|x|"), named("1. a"), named("x::")])
@example(rows=[named("日本語"), named("e\u0301"), named("=====  ====="), named("-")])
@example(rows=[named("{{x}}"), named("<<<"), named("2+"), named("a"), named("!!"), named("|-")])
@example(rows=[named("-}"), named("'''"), named("_."), named("<."), named("\\\\vert{}")])
def test_a_program_reads_the_cells_that_were_meant(output: str, rows: list[Connection]) -> None:
    read = READERS[output](rendered(rows, output, columns=COLUMNS))
    assert read == [TITLES, *all_cells(rows)]


@pytest.mark.parametrize(
    "output", ["asciidoc", "jira", "mediawiki", "moinmoin", "textile", "youtrack"]
)
@given(name=HOSTILE_NAMES)
def test_names_are_no_code_in_a_wiki(output: str, name: str) -> None:
    text = rendered([named(name)], output, columns="process state")
    [row] = re.findall(r"^\|+(?:<\.)?(.*?)\|+(?:<\.)? *ESTABLISHED", text, re.MULTILINE)
    assert not re.search(r"[!-/:-@\[-`{-~]", re.sub(WIKI_CODE, "", row))


@pytest.mark.parametrize("output", ["github", "pipe"])
@given(name=HOSTILE_NAMES)
def test_names_are_no_code_in_markdown(output: str, name: str) -> None:
    row = rendered([named(name)], output, columns="process").splitlines()[-1]
    cell = row.removeprefix("|").removesuffix("|")
    left = re.sub(MARKDOWN_CODE, "", cell)
    assert not re.search(r"[\\`*_~<&|$]|\]\(|\]\[", left)


@given(name=HOSTILE_NAMES)
def test_names_are_no_code_in_rst(name: str) -> None:
    row = rendered([named(name)], "rst", columns="process").splitlines()[-2]
    left = re.sub(r"\\[!-/:-@\[-`{-~]|(?<=[^\W_])[-_.:/%](?=[^\W_])", "", row)
    assert not re.search(r"[!-/:-@\[-`{-~]", left)


@pytest.mark.parametrize("output", named_formats())
@settings(max_examples=10)
@given(rows=ROWS)
def test_no_control_character_gets_through(output: str, rows: list[Connection]) -> None:
    text = rendered(rows, output, columns=COLUMNS)
    assert set(re.findall(UNSAFE_IN_CELL, text)) <= {"\n"}


FOR_EYES = sorted(set(named_formats()) - set(READERS))


@pytest.mark.parametrize("output", FOR_EYES)
@settings(max_examples=15)
@given(rows=ROWS)
def test_a_table_for_eyes_is_aligned(output: str, rows: list[Connection]) -> None:
    """Each cell as it is, and all cells of a column beside each other."""
    lines = rendered(rows, output, columns=COLUMNS).splitlines()
    wanted = [line for line in lines if any(row.state in line for row in rows)]
    header = next(line for line in lines if "STATE" in line)
    place = display_width(header[: header.index("STATE")])
    for line, row, cells in zip(wanted, rows, all_cells(rows), strict=True):
        assert all(cell in line for cell in cells)
        before = display_width(line[: line.rindex(row.state)])
        assert before == place or output == "pretty"
    if output not in ("plain", "simple", "presto"):
        assert len(set(map(display_width, lines))) == 1


@pytest.mark.parametrize("output", named_formats())
@pytest.mark.parametrize("name", ["1e5", "007", "1_000", "nan", "None", "0x10", "true", "3.10"])
def test_a_name_is_no_number(output: str, name: str) -> None:
    text = rendered([made(process=name)], output, columns="process").replace("\\", "")
    assert re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text)


@pytest.mark.parametrize("output", [name for name in FOR_EYES if name != "pretty"])
def test_leading_blanks_stay(output: str) -> None:
    text = rendered([made(user="   x")], output, columns="user state")
    header, row = (line for line in text.splitlines() if "STATE" in line or "ESTAB" in line)
    assert row.index("x") == header.index("USER") + 3


# tabulate 0.9 takes the titles of these from the columns, of which there are none.
WITHOUT_TITLES_IN_0_9 = ("html", "mediawiki", "moinmoin")


@pytest.mark.parametrize("output", named_formats())
@pytest.mark.parametrize("has_header", [True, False], ids=["titles", "no titles"])
def test_no_sockets(output: str, has_header: bool) -> None:
    text = rendered([], output, columns=COLUMNS, has_header=has_header)
    if output in WITHOUT_TITLES_IN_0_9 and tabulate.__version__.startswith("0.9"):
        assert "PROCESS" not in text
    else:
        assert ("PROCESS" in text) == has_header


@pytest.mark.parametrize("output", named_formats())
def test_no_titles(output: str) -> None:
    text = rendered([made()], output, columns=COLUMNS, has_header=False)
    assert "PROCESS" not in text
    assert "ESTABLISHED" in text


def test_github() -> None:
    rows = [made(process="a|b\\\\*c*"), made(local_address="::1", state="TIME_WAIT")]
    assert rendered(rows, "github", columns="local state process recv_q") == (
        "| LOCAL          | STATE       | PROCESS       | RECV-Q   |\n"
        "|----------------|-------------|---------------|----------|\n"
        "| 10.0.0.1:44321 | ESTABLISHED | a\\|b\\\\\\\\\\*c\\* | 0        |\n"
        "| [::1]:44321    | TIME_WAIT   | nginx         | 0        |\n"
    )


def test_html() -> None:
    assert rendered([made(process="<b>&")], "html", columns="local process") == (
        "<table>\n<thead>\n"
        "<tr><th>LOCAL         </th><th>PROCESS  </th></tr>\n"
        "</thead>\n<tbody>\n"
        "<tr><td>10.0.0.1:44321</td><td>&lt;b&gt;&amp;     </td></tr>\n"
        "</tbody>\n</table>\n"
    )


def test_every_format_of_tabulate_is_offered_but_those_that_escape_nothing() -> None:
    assert set(named_formats()) == set(tabulate.tabulate_formats) - {
        "unsafehtml",
        "latex_raw",
        "tsv",
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jsn", "unknown format 'jsn'; did you mean json?"),
        (
            "markdwn",
            f"unknown format 'markdwn'; expected one of {', '.join(ALL_FORMATS)}, asciidoc",
        ),
        ("gitub", "unknown format 'gitub'; did you mean github?"),
        (
            "unsafehtml",
            "format 'unsafehtml' does not escape what strangers choose; use html",
        ),
        ("latex_raw", "format 'latex_raw' does not escape what strangers choose; use latex"),
    ],
)
def test_unknown_formats(name: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_format(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", [*OWN_FORMATS, *named_formats()])
def test_known_formats(name: str) -> None:
    check_format(name)


def test_jira() -> None:
    row = made(remote_address=None, remote_port=None, process="{html}|", owners=())
    assert rendered([row], "jira", columns="local remote process timer") == (
        "|| LOCAL          || REMOTE   || PROCESS                || TIMER   ||\n"
        "| 10.0.0.1:44321 | &#42;    | &#123;html&#125;&#124; | -       |\n"
    )


def test_rst() -> None:
    row = made(remote_address=None, remote_port=None, process="|x|", state="TIME_WAIT")
    assert rendered([row], "rst", columns="local remote process state") == (
        "==============  ========  =========  =========\n"
        "LOCAL           REMOTE    PROCESS    STATE\n"
        "==============  ========  =========  =========\n"
        "10.0.0.1:44321  \\*        \\|x\\|      TIME_WAIT\n"
        "==============  ========  =========  =========\n"
    )
