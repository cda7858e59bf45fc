"""The search for secrets in the plain part of an MCP configuration.

A secret is recognised by its name: of a key at any depth, of a parameter in a URL, of an option or
an assignment among the arguments. A placeholder such as ``${TOKEN}`` is no secret. A token without
a name is recognised if it has the form that a provider gives its tokens: `_TOKEN`.
"""

import re
import shlex
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any
from urllib.parse import SplitResult, unquote_plus, urlsplit

# A name is secret if its last word ends with one of these: githubtoken, clientSecret, X-Api-Key.
_SECRET_ENDING = re.compile(
    r"(authorization|bearer|cookies?|credentials?|headers?|passphrase|passwd|password|secrets?"
    r"|tokens?|apikey)$"
)
# Or if its last word is one of these; other words may end with them (compat ends with pat).
_SECRET_WORDS = {"auth", "env", "jwt", "pass", "passcode", "pat", "pwd", "sig", "signature"}
# A "key" is secret after one of these words; a public_key and a sort_key are not.
_BEFORE_KEY = {
    *("access", "account", "admin", "api", "app", "auth", "client", "encryption", "functions"),
    *("license", "master", "private", "secret", "service", "shared", "signing", "subscription"),
}
_COUNTS = {
    *("completion", "context", "input", "max", "min", "num", "output", "prompt", "reasoning"),
    *("thinking", "total"),
}
_CODE = "code"  # secret only as a parameter of a URL, where Azure puts its keys
_METHODS = {"none", "oauth", "oauth2"}  # values of "auth" that are not credentials
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}|\$\w+|\{\{[^{}]*\}\}|%\w+%|<[^<>]*>")
_CREDENTIAL = re.compile(r"\s*(?:bearer|basic)\s+(?=\S*[\d._~+/=-])\S{8,}\s*", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])("
    r"sk-(?=[\w-]*\d)[\w-]{20,}|[rs]k_(live|test)_\w{16,}|gh[oprsu]_\w{30,}|github_pat_\w{30,}"
    r"|glpat-[\w-]{20,}|xox[abeoprs]-[\w-]{16,}|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----)"
)
_FILE = re.compile(r"[\w./~-]+\.(cer|conf|crt|env|ini|json|key|p12|pem|pfx|toml|txt|ya?ml)")
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
_OPTION = re.compile(r"--?([^=\s]+)(?:=(.*))?", re.DOTALL)
_HEADER = re.compile(r"([\w-]+):\s*(.*)", re.DOTALL)
_HAS_VALUE = {"e": "env", "H": "header"}  # options of docker and curl


def find_secret(config: dict[str, Any]) -> str | None:
    """Return the path of the first secret, such as ``args[2]``, or None."""
    return next(_found(config, ""), None)


def is_secret_name(name: str) -> bool:
    """Return whether a value with this name is a secret.

    It does not matter how the words are joined.
    """
    plain = unicodedata.normalize("NFKC", unquote_plus(name))
    words = [word.lower() for word in _WORDS.findall(plain)]
    if not words:
        return False
    *before, last = words
    if last in _SECRET_WORDS:
        return True
    if last in {"key", "keys"}:
        return not before or before[-1] in _BEFORE_KEY
    if last in {"token", "tokens"} and _COUNTS & {*before}:
        return False
    return _SECRET_ENDING.search(last) is not None


def _found(value: Any, path: str) -> Iterator[str]:
    """Yield the path of each secret in ``value``, which is at ``path``."""
    match value:
        case dict():
            yield from (_joined(path, name) for name in _found_as_pair(value))
            for name, inner in value.items():
                below = _joined(path, name)
                if is_secret_name(name) and _may_be_secret(name, inner):
                    yield below
                elif name == "command" and isinstance(inner, str):
                    yield from _found_in_command(inner, value.get("args"), below)
                elif name == "args" and isinstance(inner, list):
                    yield from _found_in_arguments(inner, below)
                else:
                    yield from _found(inner, below)
        case list():
            for number, inner in enumerate(value):
                yield from _found(inner, f"{path}[{number}]")
        case str() if _holds_secret(value):
            yield path


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _found_as_pair(value: dict[str, Any]) -> Iterator[str]:
    if any(map(_TOKEN.search, value)):
        yield "a key"  # without its name, which is the secret
    if _is_secret_pair(value):
        yield "value"


def _is_secret_pair(value: dict[str, Any]) -> bool:
    """Return whether it is a secret as ``{"name": ..., "value": ...}``."""
    name, inner = value.get("name", value.get("key")), value.get("value")
    return isinstance(name, str) and isinstance(inner, str) and _is_secret(name, inner)


def _may_be_secret(name: str, value: Any) -> bool:
    """Return whether the value of a key with a secret's name can be a secret."""
    last = _WORDS.findall(name)[-1].lower() if _WORDS.search(name) else ""
    match value:
        case None | bool():
            return False
        case int() | float():
            return last != "tokens"
        case str() if last == "env":
            return name.lower() == "env"  # other names, such as token_env, hold a variable's name
        case str():
            return _is_secret(name, value)
        case dict():
            return last not in {"auth", "authorization"}  # these describe a method
    return True


def _is_secret(name: str, value: str) -> bool:
    """Return whether the text ``value`` under this name is a secret."""
    if not is_secret_name(name):
        return False
    is_method = name.lower().endswith(("auth", "authorization")) and value.lower() in _METHODS
    rest = re.sub(r"(?i)^\s*(bearer|basic)\s+", "", value)
    is_named_elsewhere = _PLACEHOLDER.fullmatch(rest.strip()) or _FILE.fullmatch(value)
    return not (is_method or is_named_elsewhere)


def _holds_secret(text: str) -> bool:
    """Return whether a text without a name holds a credential, or a URL with one."""
    if _CREDENTIAL.fullmatch(text) or _TOKEN.search(text):
        return True
    return any(map(_is_url_with_secret, re.findall(r"[\w+.-]+://\S+", text)))


def _is_url_with_secret(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True  # it cannot be parsed, so it may hold a secret
    web = parts.scheme in {"http", "https", "ws", "wss"}
    credential = parts.password or (parts.username if web else None)
    if credential and not _PLACEHOLDER.fullmatch(credential):
        return True
    return any(
        _is_secret(name, value) or (name.lower() == _CODE and not _PLACEHOLDER.fullmatch(value))
        for name, value in _parameters(parts)
    )


def _parameters(parts: SplitResult) -> Iterator[tuple[str, str]]:
    """Yield the parameters of query, fragment and path, decoded."""
    matrix = (part.partition(";")[2] for part in parts.path.split("/"))
    for part in re.split(r"[&;?]", "&".join((parts.query, parts.fragment, *matrix))):
        name, separator, value = part.partition("=")
        if separator:
            yield unquote_plus(name), unquote_plus(value)


def _found_in_command(command: str, args: Any, path: str) -> Iterator[str]:
    """Yield ``path`` if a command holds a secret or sets a variable."""
    words = _words(command)
    ahead = words
    if words and words[0].rpartition("/")[2] == "env":
        ahead = [*words[1:], *filter(_is_text, args if isinstance(args, list) else ())]
    assigned = takewhile(lambda word: word.startswith("-") or _ASSIGNMENT.fullmatch(word), ahead)
    if any(map(_ASSIGNMENT.fullmatch, assigned)) or any(_found_in_arguments(words, path)):
        yield path


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _found_in_arguments(args: Sequence[Any], path: str) -> Iterator[str]:
    """Yield the path of each argument that holds a secret.

    That includes one after a secret's option.
    """
    option = ""
    for number, arg in enumerate(args):
        if isinstance(arg, str) and _is_secret_argument(option, arg):
            yield f"{path}[{number}]"
        match = _OPTION.fullmatch(arg) if isinstance(arg, str) else None
        name = match[1] if match and match[2] is None else ""
        option = _HAS_VALUE.get(name, name)


def _is_secret_argument(option: str, arg: str) -> bool:
    if _holds_secret(arg):
        return True
    if option and not arg.startswith("-"):
        # The value of --header or --env has a name of its own, which decides.
        is_pair = option.lower() in {"env", "header"}
        if not is_pair and _is_secret(option, arg):
            return True
    if match := _OPTION.fullmatch(arg):
        name, value = match[1].removeprefix("D"), match[2] or ""  # -Dname=value is a Java property
        is_pair = _HAS_VALUE.get(name, name).lower() in {"env", "header"}
        return _is_secret_pair_text(value) if is_pair else bool(value) and _is_secret(name, value)
    if _is_secret_pair_text(arg):
        return True
    words = _words(arg)
    return len(words) > 1 and any(_found_in_arguments(words, ""))


def _is_secret_pair_text(text: str) -> bool:
    """Return whether it is a secret as ``NAME=value`` or ``Name: value``."""
    match = _ASSIGNMENT.fullmatch(text) or _HEADER.fullmatch(text)
    return match is not None and bool(match[2].strip()) and _is_secret(match[1], match[2].strip())


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an unbalanced quotation mark
        return text.split()
