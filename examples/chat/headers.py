"""What every answer tells the browser: what it may load, who may frame it, and what it may keep."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
DOCUMENTATION = "frame-ancestors 'none'"
"""For the pages of FastAPI about the interface, which load their scripts from elsewhere."""


def secured(path: str, send: Send) -> Send:
    """Return ``send`` with the headers added to the answer for ``path``, errors included."""
    policy = DOCUMENTATION if path.startswith(("/docs", "/redoc")) else PAGE

    async def send_secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = policy
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            if not path.startswith("/static/"):
                headers["Cache-Control"] = "no-store"
        await send(message)

    return send_secured
