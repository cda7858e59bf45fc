"""The persistence layer for AI chat backends."""
