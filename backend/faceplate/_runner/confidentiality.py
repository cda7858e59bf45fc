"""What leaves the runner shows no row: neither its traceback nor the errors behind it."""

from faceplate._driver.error_mapping import FOREIGN_ERRORS
from faceplate._tracebacks import linked_errors, remove_library_frames


def remove_confidential(error: BaseException) -> None:
    """Remove the frames of libraries from an error, and the errors of the driver behind it.

    Frames hold the values of statements, and the server's DETAIL quotes rows.
    """
    for member in linked_errors(error):
        if isinstance(member.__cause__, FOREIGN_ERRORS):
            member.__cause__ = None
        if isinstance(member.__context__, FOREIGN_ERRORS):
            member.__context__ = None
    remove_library_frames(error)
