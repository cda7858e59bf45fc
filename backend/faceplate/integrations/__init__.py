"""Integrations with web frameworks and OpenTelemetry.

Each module needs its own extra.
"""
