"""The words with which the parts of an expression begin, and its operators.

Nothing is loaded for them: the first word of a command line is looked up here.
"""

from __future__ import annotations

# Of ss
SS_KEYWORDS = (
    "state",
    "exclude",
    "src",
    "dst",
    "sport",
    "dport",
    "dev",
    "fwmark",
    "cgroup",
    "autobound",
)
# Ours
OWN_KEYWORDS = (
    "pid",
    "process",
    "user",
    "uid",
    "proto",
    "inode",
    "rtt",
    "retrans",
    "recv_q",
    "send_q",
    "exposure",
    "direction",
)
KEYWORDS = (*SS_KEYWORDS, *OWN_KEYWORDS)
KEYWORD_ALIASES = {"excl": "exclude", "recv-q": "recv_q", "send-q": "send_q"}

LOGIC = {"and": "and", "&": "and", "&&": "and", "or": "or", "|": "or", "||": "or"}
NEGATIONS = ("!", "not")
COMPARISONS = {
    **dict.fromkeys(("=", "==", "eq"), "="),
    **dict.fromkeys(("!=", "ne", "neq"), "!="),
    **dict.fromkeys((">", "gt"), ">"),
    **dict.fromkeys(("<", "lt"), "<"),
    **dict.fromkeys((">=", "ge", "geq"), ">="),
    **dict.fromkeys(("<=", "le", "leq"), "<="),
}
RESERVED = frozenset({*KEYWORDS, *KEYWORD_ALIASES, *LOGIC, *NEGATIONS, *COMPARISONS, "(", ")"})


def keyword(word: str) -> str | None:
    """The keyword that this is, in any case; None when it is none."""
    lower = word.lower()
    return lower if lower in KEYWORDS else KEYWORD_ALIASES.get(lower)


def begins_expression(argument: str) -> bool:
    """Whether an expression begins with this argument of a command line."""
    if argument.startswith(("!", "(")):
        return True
    word = argument.split(maxsplit=1)[0] if argument.strip() else ""
    for index, character in enumerate(word):
        if character in "=!<>":
            word = word[:index]
            break
    return word.lower() == "not" or keyword(word) is not None
