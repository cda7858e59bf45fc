"""Integrations with web frameworks, providers of models, and OpenTelemetry.

Each module has its own extra.
"""
