"""The parsing of a database URL into parameters that asyncpg knows."""

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import parse_qs, unquote_to_bytes

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
WRAPPING = " \t\r\n'\""  # characters that shells and .env files leave around a value

_ALLOWED_VALUES: dict[str, tuple[str, ...]] = {
    "sslmode": get_args(TlsMode),
    "channel_binding": ("disable", "prefer", "require"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": (
        *("any", "primary", "standby", "prefer-standby", "read-write", "read-only"),
    ),
}
_KNOWN_PARAMETERS = {
    *("host", "port", "user", "password", "dbname", "passfile", "krbsrvname", "gsslib", "options"),
    *("sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
    *_ALLOWED_VALUES,
}
_SYNONYMS = {"database": "dbname", "ssl": "sslmode"}
# A setting of faceplate replaces the parameter, or asyncpg does the same by itself.
_IGNORED_PARAMETERS = {
    *("application_name", "fallback_application_name", "connect_timeout", "client_encoding"),
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    *("tcp_user_timeout", "sslcompression", "sslsni"),
}
# These values change nothing.
_IGNORED_VALUES = {("gssencmode", "disable"), ("gssencmode", "prefer"), ("pgbouncer", "false")}
_HOST = re.compile(r"(\[[^\[\]\s]+\]|[^\[\]:\s]*)(?::([^:]*))?")


def parse_url(text: str) -> dict[str, str]:
    """Return libpq's parameters.

    ``host`` and ``port`` are lists of equal length, with commas. Raises ValueError, which names the
    broken rule and shows no part of a password.
    """
    scheme, separator, rest = text.strip(WRAPPING).partition("://")
    if not scheme:
        raise ValueError("a PostgreSQL URL is needed")
    if not separator or not re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme, re.IGNORECASE):
        raise ValueError("must begin with postgresql:// or postgres://")
    if not rest.isprintable():
        raise ValueError("must be one line of printable characters; percent-encode others")
    userinfo, location, query = _split(rest)
    authority, _, dbname = location.partition("/")
    hosts = _parse_hosts(authority)
    parameters = _parse_query(query)
    user, _, password = userinfo.partition(":")
    for name, part in ("user", user), ("password", password), ("dbname", dbname):
        if part and parameters.setdefault(name, _decode(part)) != _decode(part):
            raise ValueError(f"gives {name} twice")
    named_hosts = _parse_hosts(parameters.pop("host", ""))
    if hosts and named_hosts:
        raise ValueError("gives hosts twice: before the database and as host=")
    parameters |= _join_hosts(hosts or named_hosts, parameters.pop("port", ""))
    if "\0" in "".join(parameters.values()):
        raise ValueError("must not contain NUL (%00)")
    return parameters


def _split(rest: str) -> tuple[str, str, str]:
    """Return the userinfo, the hosts with the database, and the query.

    None of them is decoded. A password may hold unencoded special characters, as long as the URL
    stays unambiguous.
    """
    userinfo, _, tail = rest.rpartition("@")
    location, _, query = tail.partition("?")
    before_slash, slash, _ = userinfo.partition("/")
    looks_like_hosts = all(re.fullmatch(r"[^:]*(:\d*)?", h) for h in before_slash.split(","))
    if (
        "?" in userinfo
        or (slash and ("@" in before_slash or looks_like_hosts))
        or "#" in tail
        or location.count("/") > 1
    ):
        raise ValueError(
            "can be read in more than one way: percent-encode special characters"
            " (@ is %40, : is %3A, / is %2F, ? is %3F, # is %23, % is %25)"
        )
    return userinfo, location, query


def _decode(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeError:
        raise ValueError("must be UTF-8 when percent-decoded; a % itself is %25") from None


def _parse_query(query: str) -> dict[str, str]:
    try:
        given = parse_qs(query.strip("&"), strict_parsing=True, errors="strict") if query else {}
    except ValueError:
        raise ValueError("must have parameters like name=value&name=value after the ?") from None
    parameters: dict[str, str] = {}
    for given_name, values in given.items():
        name = _SYNONYMS.get(given_name, given_name)
        value = ",".join(values) if name in {"host", "port"} else values[0]
        if name in _IGNORED_PARAMETERS or (name, value) in _IGNORED_VALUES:
            continue
        if name not in _KNOWN_PARAMETERS:
            raise ValueError(f"has {name!r}, which faceplate cannot honour; use a URL without it")
        if value not in _ALLOWED_VALUES.get(name, (value,)):
            raise ValueError(f"must have {name} one of {', '.join(_ALLOWED_VALUES[name])}")
        repeated = name not in {"host", "port"} and len(set(values)) > 1
        if repeated or parameters.setdefault(name, value) != value:
            raise ValueError(f"gives {name} twice")
    return parameters


def _parse_hosts(text: str) -> list[tuple[str, str]]:
    """Return each host with its port or "".

    An IPv6 address is in brackets.
    """
    hosts = []
    for spec in text.split(",") if text else ():
        # A socket's directory may hold colons, as those of Cloud SQL do.
        match = re.fullmatch("(/.*)()", spec) or _HOST.fullmatch(spec)
        host, port = (_decode(match[1]), match[2] or "") if match else ("[]", "")
        if not _is_host(host):
            raise ValueError("must have hosts like name:5432, [::1]:5432 or a socket's directory")
        hosts.append((host, port))
    return hosts


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return re.fullmatch(r"/[^,]*|[^/,@\s]*", host) is not None
    try:
        return ipaddress.ip_address(host[1:-1]).version == 6
    except ValueError:
        return False


def _join_hosts(hosts: list[tuple[str, str]], port: str) -> dict[str, str]:
    """Return ``host`` and ``port`` for ``hosts``.

    ``port`` is the URL's ``port=``, or empty.
    """
    names = [name for name, _ in hosts] or [""]
    ports = [port for _, port in hosts] or [""]
    if port and any(ports):
        raise ValueError("gives ports twice: beside the hosts and as port=")
    if port:
        ports = port.split(",")
        ports = ports * len(names) if len(ports) == 1 else ports
    if len(ports) != len(names) or (len(names) > 1 and "" in names):
        raise ValueError("must have as many ports as hosts, and no empty host among several")
    if not all(re.fullmatch("[0-9]{1,5}", p) and 0 < int(p) < 65536 for p in ports if p):
        raise ValueError("must have ports from 1 to 65535")
    if names == [""]:
        return {"port": ports[0]} if ports[0] else {}
    return {"host": ",".join(names), "port": ",".join(port or "5432" for port in ports)}


def resolve_tls(
    parameters: dict[str, str], tls_mode: TlsMode | None, ca_file: Path | None
) -> dict[str, str]:
    """Return ``parameters`` with the TLS settings.

    They verify no less than was asked for.
    """
    parameters = dict(parameters)
    mode = tls_mode or parameters.pop("sslmode", None)
    ca = str(ca_file) if ca_file else parameters.pop("sslrootcert", None)
    if parameters.pop("channel_binding", None) == "require" and tls_mode is None:
        # asyncpg cannot bind channels; verifying the server's name also keeps a middleman out.
        ca = ca or (None if mode in {"verify-ca", "verify-full"} else "system")
        mode = "verify-full"
    if ca:
        mode = mode or "verify-full"
    if (ca and mode in {"disable", "allow", "prefer"}) or (
        ca == "system" and mode != "verify-full"
    ):
        raise ValueError(
            f"TLS: sslmode (or FACEPLATE_TLS_MODE) {mode} would not verify the server against"
            f" {ca!r}; a valid example: verify-full"
        )
    if ca == "system":
        ca = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    resolved = {"sslmode": mode, "sslrootcert": ca}
    return parameters | {name: value for name, value in resolved.items() if value}
