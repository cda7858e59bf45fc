"""Removes library frames and driver errors, which may show rows, from an error."""

from faceplate._driver.error_mapping import FOREIGN_ERRORS
from faceplate._tracebacks import linked_errors, remove_library_frames


def remove_confidential(error: BaseException) -> None:
    """Remove frames of libraries and errors of the driver from ``error``.

    The frames' locals hold values of statements, and the server's DETAIL quotes rows.
    """
    for member in linked_errors(error):
        if isinstance(member.__cause__, FOREIGN_ERRORS):
            member.__cause__ = None
        if isinstance(member.__context__, FOREIGN_ERRORS):
            member.__context__ = None
    remove_library_frames(error)
