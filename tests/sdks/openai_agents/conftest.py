"""Tests of the SDK send no traces."""

from agents import set_tracing_disabled

set_tracing_disabled(disabled=True)
