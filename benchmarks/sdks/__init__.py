"""SDKs over faceplate, beside the same SDK over its own store in PostgreSQL.

Both sides of a pair are used through the SDK's interface, by the same code.
"""
