"""Checks of the files that a URL or a setting names for TLS and for the password."""

import os
import ssl


def check_files(variable: str, parameters: dict[str, str]) -> None:
    """Raise ValueError, which names ``variable``, if a file of a URL cannot be used."""
    for name in ("sslcert", "sslkey", "passfile"):
        if name in parameters and not os.access(parameters[name], os.R_OK):
            raise ValueError(f"{variable}: {name} cannot be read: {parameters[name]!r}")
    for name in ("sslrootcert", "sslcrl"):
        if name in parameters:
            check_certificates(parameters[name])


def check_certificates(path: str) -> None:
    """Raise ValueError if ``path`` is no readable file of certificates."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:
        raise ValueError(
            f"TLS needs a readable file of certificates in PEM form, which {path!r} is not"
            f" ({error.strerror})"
        ) from None
