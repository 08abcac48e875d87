"""All rules, by code, in the order of `--list`."""

from __future__ import annotations

from netinspect.diagnose.rule import Rule
from netinspect.diagnose.rules import (
    closing,
    flow,
    listening,
    opening,
    ports,
    queues,
    resources,
)

RULES: dict[str, Rule] = {
    rule.code: rule
    for family in (ports, closing, opening, queues, flow, resources, listening)
    for rule in family.RULES
}
