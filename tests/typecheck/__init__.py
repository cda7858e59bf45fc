"""The types that a user's editor and type checker infer from faceplate's annotations.

mypy and pyright check this folder in ``make check``; nothing in it runs.
"""
