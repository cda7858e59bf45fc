"""The description of a wrong setting: rule, value, valid example."""

import difflib
import re

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from faceplate._settings.environment import variable_of
from faceplate._settings.secrets import reveal
from faceplate.database_url import WRAPPING


def describe_problems(
    settings_cls: type[BaseSettings], error: ValidationError, data: object
) -> str:
    """Return what is wrong with ``data``, a line each, without secrets."""
    given = data if isinstance(data, dict) else {}
    lines = dict.fromkeys(
        _describe(settings_cls, str(problem["loc"][0]), problem["msg"], given)
        if problem["loc"]
        else problem["msg"].removeprefix("Value error, ")
        for problem in error.errors()
    )
    return "The configuration cannot be used:" + "".join(f"\n  {line}" for line in lines)


def _describe(
    settings_cls: type[BaseSettings], name: str, rule: str, given: dict[str, object]
) -> str:
    variable = variable_of(settings_cls, name)
    if name not in settings_cls.model_fields:
        close = difflib.get_close_matches(name, settings_cls.model_fields, n=1)
        hint = f"; did you mean {variable_of(settings_cls, close[0])}?" if close else ""
        return f"{variable}: there is no such setting{hint}"
    field = settings_cls.model_fields[name]
    secret = "SecretStr" in str(field.annotation)
    read = f"read {_show(given[name], secret=secret)}" if name in given else "it is not set"
    example = field.examples[0] if field.examples else field.default
    rule = rule.removeprefix("Value error, ")
    rule = re.sub("^(Input|String) should", "must", rule)
    return f"{variable}: {rule}; {read}; a valid example: {variable}={example}"


def _show(value: object, *, secret: bool) -> str:
    """Return ``value`` for a message, without any part that may be a secret."""
    text = reveal(value)
    if not text or not (secret or "@" in text):
        return repr(text[:100])
    # The text between the last "@" and the next "?" holds no password, unless that "@" stands
    # in the parameters.
    scheme, _, rest = text.strip(WRAPPING).partition("://")
    userinfo, at, location = rest.rpartition("@")
    if not re.fullmatch(r"[a-zA-Z0-9+.]+", scheme) or not rest:
        return "'***'"
    if not at or re.search("[?#]", userinfo):
        return f"'{scheme}://***'"
    return f"'{scheme}://***@{re.split('[?#]', location)[0]}'"
