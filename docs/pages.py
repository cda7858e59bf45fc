"""What the site has beyond its Markdown files: the navigation, the settings and the reference."""

import inspect
import pkgutil
from collections.abc import Collection, Iterable
from typing import Any

import faceplate
from faceplate import Scope, Settings, SystemScope, integrations, services
from faceplate._alembic import scaffold

SETTINGS = "<!-- settings -->"
REFERENCE = "<!-- reference -->"

# The pages in the order of the side bar. The site leaves out a missing page, and puts a page that
# is not named here under "Look up".
NAVIGATION = {
    "Start": [
        "docs/quickstart",
        "docs/tutorial",
        "docs/service",
        "docs/units",
        "docs/web",
        "docs/web/streaming",
        "docs/web/fastapi",
        "docs/web/frameworks",
        "docs/web/django",
        "docs/web/workers",
        "docs/web/prometheus-and-sentry",
        "docs/web/example-chat",
        "docs/models",
        "docs/sdks",
        "docs/sdks/openai-agents",
        "docs/sdks/openai-conversations",
        "docs/sdks/pydantic-ai",
        "docs/sdks/google-adk",
        "docs/sdks/agent-framework",
        "docs/sdks/chatkit",
        "docs/sdks/mcp",
        "docs/sdks/vercel",
        "docs/sdks/importing-tables",
        "docs/testing",
        "docs/faq",
    ],
    "Understand": [
        "docs/architecture",
        "docs/data-model",
        "docs/security",
        "docs/reliability",
        "docs/faults",
        "docs/performance",
        "docs/performance/tables",
        "docs/comparison",
    ],
    "Extend": ["docs/adding-a-table", "docs/own-alembic"],
    "Run": [
        "docs/production",
        "docs/production/backups",
        "docs/production/alerts",
        "docs/production/capacity",
        "docs/scaling",
        "docs/engines",
        "docs/operations",
        "docs/operations/roles",
        "docs/operations/migrations",
        "docs/operations/replicas",
        "docs/operations/citus",
        "docs/operations/commands",
        "docs/operations/monitoring",
        "docs/configuration",
        "docs/importing",
        "docs/importing/formats",
        "docs/exporting",
    ],
    "Look up": ["docs/api", "docs/README", "CHANGELOG", "docs/versioning"],
    "Contribute": ["CONTRIBUTING", "SECURITY", "docs/releasing"],
}
DECISIONS = "docs/decisions/"

# What people import, in the order of the reference; services and integrations come by themselves.
RETURNED = ("faceplate.records", "faceplate.pagination", "faceplate.health")
AROUND = ("faceplate.drafts", "faceplate.migrate", "faceplate.own_tables", "faceplate.models")
# An SDK is not installed where the site is built: docs/sdks/ has a page for each.
OF_SDKS = {"agent_framework", "chatkit", "google_adk", "mcp", "openai_agents", "pydantic_ai"}
BESIDE = (
    "faceplate.column_types",
    "faceplate.encryption",
    "faceplate.embedded",
    "faceplate.exporters",
    "faceplate.importers",
    "faceplate.seeding",
    "faceplate.testing",
)


def navigation(found: Iterable[str]) -> str:
    """Return a hidden table of contents for each part of the side bar."""
    left = set(found)
    parts = {}
    for caption, names in NAVIGATION.items():
        parts[caption] = [name for name in names if name in left]
        left -= {*names}
    decisions = {name for name in left if name.startswith(DECISIONS)}
    parts["Look up"] += sorted(left - decisions)
    parts["Decisions"] = sorted(decisions)
    return "".join(
        "\n".join(["\n```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```", ""])
        for caption, names in parts.items()
    )


def settings() -> str:
    """Return a section for each setting: its variable, what it does, its default and its limits."""
    return "\n".join(map(_setting, Settings.model_fields))


def _setting(name: str) -> str:
    field = Settings.model_fields[name]
    lines = [f"## {scaffold.variable_of(name)}\n", f"{field.description}\n"]
    facts = {
        "default": "not set" if field.examples else f"`{scaffold.example_of(name)}`",
        "example": f"`{field.examples[0]}`" if field.examples else "",
        "limits": _limits(field.metadata),
        "argument": f"`Settings({name}=...)`",
    }
    lines += [f"- {fact}: {value}" for fact, value in facts.items() if value]
    return "\n".join([*lines, ""])


def _limits(metadata: list[Any]) -> str:
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return ", ".join(
        f"{word} {getattr(rule, sign):,}"
        for rule in metadata
        for sign, word in signs.items()
        if getattr(rule, sign, None) is not None
    )


def reference() -> str:
    """Return the reference: the public names, then module by module."""
    modules: dict[str, Iterable[str]] = {
        "The names of the package": ["faceplate"],
        "Errors": ["faceplate.errors"],
        "Units": _modules_of(services),
        "What they return": RETURNED,
        "Around the units": AROUND,
        "Integrations": _modules_of(integrations, without=OF_SDKS),
        "Beside it": BESIDE,
    }
    return "\n".join(
        f"## {heading}\n\n" + "\n".join(map(_automodule, names))
        for heading, names in modules.items()
    )


def _modules_of(package: Any, *, without: Collection[str] = ()) -> list[str]:
    names = {info.name for info in pkgutil.iter_modules(package.__path__)} - {*without}
    return [f"{package.__name__}.{name}" for name in sorted(names) if not name.startswith("_")]


def _automodule(name: str) -> str:
    if name == "faceplate":
        names = "\n".join(map(_autoname, _public()))
        return f"```{{eval-rst}}\n.. module:: faceplate\n\n{names}\n```\n"
    return f"### `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def _public() -> list[str]:
    """The names of the package, without the errors and records, which have parts of their own."""
    elsewhere = {*vars(faceplate.errors), *vars(faceplate.records), "Health"}
    return [name for name in faceplate.__all__ if name not in elsewhere]


def _autoname(name: str) -> str:
    if inspect.isfunction(getattr(faceplate, name)):
        return f".. autofunction:: {name}\n"
    if issubclass(getattr(faceplate, name), Scope | SystemScope):  # made by the runner alone
        return f".. autoclass:: {name}()\n   :inherited-members:\n"
    return f".. autoclass:: {name}{'(**settings)' if name == 'Settings' else ''}\n"
