"""ChatKit warns of its own widgets when it is imported, and warnings are errors in the tests."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import chatkit.server  # noqa: F401 - imported here, once
