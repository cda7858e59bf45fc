"""The units: plain async functions whose first parameter is a scope."""
