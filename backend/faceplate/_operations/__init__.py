"""The reports for operators: `faceplate doctor` and `faceplate stats`.

Both only read. They may use everything but cli and integrations.
"""
