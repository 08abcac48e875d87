"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

# Nothing in a test is timed: the machines are shared.
settings.register_profile("netinspect", deadline=None)
settings.load_profile("netinspect")
