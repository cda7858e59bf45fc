"""The units of faceplate's tables.

A unit is an async function whose first parameter is a scope.
"""
