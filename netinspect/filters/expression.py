"""The filter language: that of ss, and more words.

    expression = { ("state" | "exclude") STATE } [ list ]
    list       = term { ("and" | "or" | nothing) term }      nothing means and; only one of both
    term       = "(" list ")" | "not" term | keyword [comparison] value | "autobound"

A leading clause means what it means in ss: the first `state` stands instead of all, more of them
add, the first `exclude` takes away from all. Later on `state X` is a test like any other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, NoReturn

from netinspect.errors import ExpressionError, UsageError, fold, unknown_word
from netinspect.filters.keywords import COMPARISONS, KEYWORDS, LOGIC, NEGATIONS, keyword
from netinspect.filters.lexer import Token, tokenize
from netinspect.filters.values import TERMS, Term
from netinspect.filters.words import PROTOCOL_WORDS, parse_states
from netinspect.model import State, Table
from netinspect.query import (
    ALL_STATES,
    TRUE,
    Condition,
    InTables,
    States,
    all_of,
    any_of,
    leaves,
    negation,
)

DEEPEST = 50
LONGEST_QUOTE, QUOTED = 60, 25  # characters of an expression in a message
CLAUSES = ("state", "exclude")
NESTING = ("(", *NEGATIONS)
NO_TERMS = frozenset({")", *LOGIC, *COMPARISONS})
# To the kernel and to ss they are one: `close`, `closed` and `unconnected` all mean number 7.
UNCONNECTED: frozenset[State] = frozenset({"CLOSE", "UNCONN"})
UNIX_ONLY = frozenset({Table("unix", "unix")})


class Expression(NamedTuple):
    """What an expression says, and the tables of the protocols that it names."""

    condition: Condition
    tables: tuple[Table, ...]


class Part(NamedTuple):
    """A condition, and from which character to which it stands."""

    condition: Condition
    start: int
    end: int


def parse_expression(text: str) -> Expression:
    """Read an expression.

    :raises ExpressionError: it cannot be read; with the place and what was expected there.
    """
    return _Parser(text).parse()


def cgroup_fault(path: str, text: str, problem: str) -> ExpressionError:
    """The error that a cgroup of an expression turned out to be when its sockets were asked for."""
    is_value = False
    for token in tokenize(text):
        if is_value and token.text == path:
            return ExpressionError(problem, text, token.start, token.end)
        is_value = token.reserved == "cgroup" or (is_value and token.reserved in COMPARISONS)
    return ExpressionError(problem, text, 0, len(text))


def fault_at_last(keywords: Collection[str], text: str, problem: str) -> ExpressionError:
    """The error that an expression has too many of some conditions: the last is one of them."""
    last = [token for token in tokenize(text) if token.reserved in keywords][-1]
    return ExpressionError(problem, text, last.start, last.end)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.place = 0
        self.depth = 0
        self.tables: dict[Table, None] = {}

    def parse(self) -> Expression:
        states = self._leading_states()
        condition = TRUE
        if states is None or self.token:
            condition = self._list()
        if self.token:
            self._fail("there is no ( for this )", self.token)
        if states is not None:
            condition = all_of((States(states), condition))
        return Expression(condition, tuple(self.tables))

    @property
    def token(self) -> Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _fail(self, problem: str, token: Token | None, end: Token | None = None) -> NoReturn:
        if token is None:
            behind = self.tokens[-1].end if self.tokens else 0
            raise ExpressionError(problem, self.text, behind, behind)
        raise ExpressionError(problem, self.text, token.start, (end or token).end)

    def _leading_states(self) -> frozenset[State] | None:
        """The clauses before the expression; None when there is none."""
        states: frozenset[State] | None = None
        count = 0
        while clause := self._clause():
            self.place += 1
            found = self._states(clause)
            if clause == "state":
                states = found if states is None else states | found
            else:
                states = (ALL_STATES if states is None else states) - found
            count += 1
        joined = LOGIC.get(self.token.reserved or "") if self.token and count else None
        if joined and count == 1:  # `state listening or sport = 22`: a test after all
            self.place = 0
            return None
        if joined == "and":
            self.place += 1
            if not self.token:
                self._fail("expected a condition after 'and'", None)
        elif joined:
            self._fail(
                "state clauses stand before the expression; for one of several states or something "
                "else write ( state A or state B or ... )",
                self.token,
            )
        return states

    def _clause(self) -> str | None:
        """`state` or `exclude`, where a clause begins; `state != X` is a test like any other."""
        word = None if self.token is None or self.token.is_quoted else keyword(self.token.text)
        behind = self.tokens[self.place + 1 : self.place + 2]
        is_test = any(_operator(token) == "!=" for token in behind)
        return word if word in CLAUSES and not is_test else None

    def _states(self, clause: str) -> frozenset[State]:
        token = self.token
        if _operator(token) == "=":
            self.place += 1
            token = self.token
        if token is None or token.reserved:
            found = f", found {token.text!r}" if token else ""
            self._fail(f"expected a state after {clause!r}{found}: established, listen, ...", token)
        try:
            states = parse_states([token.text])
        except UsageError as error:
            self._fail(str(error), token)
        self.place += 1
        return states | UNCONNECTED if states & UNCONNECTED else states

    def _list(self) -> Condition:
        parts = [self._term()]
        joint: str | None = None
        while self.token and self.token.reserved != ")":
            operator = self.token
            found = LOGIC.get(operator.reserved or "")
            if found:
                self.place += 1
            part = self._term(after=operator.text if found else None)
            if joint not in (None, found or "and"):
                self._refuse_mixture(parts, joint or "", part, found or "and", operator)
            joint = found or "and"
            parts.append(part)
        conditions = [part.condition for part in parts]
        return any_of(conditions) if joint == "or" else all_of(conditions)

    def _refuse_mixture(
        self, parts: list[Part], joint: str, part: Part, operator: str, token: Token
    ) -> NoReturn:
        start, last = parts[0].start, parts[-1]
        before, middle = self._quote(start, last.end), self._quote(last.start, last.end)
        first, after = self._quote(start, parts[-2].end), self._quote(part.start, part.end)
        unwritten = "" if LOGIC.get(token.reserved or "") else " (the 'and' is not written)"
        self._fail(
            f"'and' and 'or' side by side{unwritten}: ss reads them from left to right, while its "
            f"manual says that 'and' goes first; write ( {before} ) {operator} {after}, or "
            f"{first} {joint} ( {middle} {operator} {after} )",
            token,
        )

    def _quote(self, start: int, end: int) -> str:
        """A part of the expression; of a long one its beginning and its end."""
        text = self.text[start:end]
        return text if len(text) <= LONGEST_QUOTE else f"{text[:QUOTED]} ... {text[-QUOTED:]}"

    def _term(self, after: str | None = None) -> Part:
        token = self.token
        if token is None or (token.reserved and token.reserved in NO_TERMS):
            behind = f" after {after!r}" if after else ""
            found = f", found {token.text!r}" if token else ""
            self._fail(f"expected a condition{behind}{found}", token)
        self.place += 1
        condition = self._nested(token) if token.reserved in NESTING else self._comparison(token)
        return Part(condition, token.start, self.tokens[self.place - 1].end)

    def _nested(self, token: Token) -> Condition:
        self.depth += 1
        if self.depth > DEEPEST:
            self._fail(f"parentheses and 'not' are nested more than {DEEPEST} deep", token)
        if token.reserved == "(":
            condition = self._list()
            self._close(token)
        else:
            condition = negation(self._term(after=token.text).condition)
        self.depth -= 1
        return condition

    def _close(self, opened: Token) -> None:
        if not self.token:
            self._fail("expected ) at the end, for this (", opened)
        self.place += 1

    def _comparison(self, token: Token) -> Condition:
        word = None if token.is_quoted else keyword(token.text)
        if word is None:
            self._fail(_unknown(token), token)
        if word in CLAUSES:
            is_negated = _operator(self.token) == "!="
            self.place += is_negated
            states = States(self._states(word))
            return negation(states) if is_negated != (word == "exclude") else states
        term = TERMS[word]
        if term.expected is None:
            if _operator(self.token):
                self._fail(f"{word!r} takes no value", self.token)
            return term.make("=", "")
        return self._value(word, term, self._comparison_of(word, term))

    def _comparison_of(self, word: str, term: Term) -> str:
        """How it is compared; without a sign for equality."""
        token = self.token
        comparison = _operator(token)
        if comparison is None:
            return "="
        if comparison not in term.comparisons:
            found = token.text if token else ""
            self._fail(f"expected = or != after {word!r}, found {found!r}", token)
        self.place += 1
        return comparison

    def _value(self, word: str, term: Term, comparison: str) -> Condition:
        token = self.token
        if token is None or token.reserved:
            found = f", found {token.text!r}" if token else ""
            hint = "; as a name it takes quotes" if token and token.text.isalpha() else ""
            self._fail(f"expected {term.expected} after {word!r}{found}{hint}", token)
        self.place += 1
        try:
            is_negated = comparison == "!="
            condition = term.make("=" if is_negated else comparison, token.text)
        except UsageError as error:
            self._fail(str(error), token)
        self._note_tables(condition, word)
        return negation(condition) if is_negated else condition

    def _note_tables(self, condition: Condition, word: str) -> None:
        for leaf in leaves(condition):
            if isinstance(leaf, InTables) and (word == "proto" or leaf.tables == UNIX_ONLY):
                self.tables.update(dict.fromkeys(sorted(leaf.tables)))


def _operator(token: Token | None) -> str | None:
    """The comparison that a token is, by the first of its spellings; None when it is none."""
    return COMPARISONS.get(token.reserved or "") if token else None


def _unknown(token: Token) -> str:
    word = fold(token.text)
    if word in PROTOCOL_WORDS:
        return f"expected a condition, found {token.text!r}; did you mean proto = {word}?"
    try:
        parse_states([token.text])
    except UsageError:
        return unknown_word("condition", token.text, KEYWORDS)
    return f"expected a condition, found {token.text!r}; did you mean state {token.text}?"
