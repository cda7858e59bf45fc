"""OpenAI's Conversations API over faceplate, as an ASGI application.

It needs the ``fastapi`` extra. OpenAI's own clients work against it, and so does
``OpenAIConversationsSession`` of the Agents SDK::

    async def sign_in(request: Request) -> UUID | str | None: ...  # your authentication

    app = FastAPI(lifespan=lifespan())
    app.mount("/openai", application(lifespan(), sign_in))

    client = AsyncOpenAI(base_url="https://example.com/openai/v1", api_key=token)
    conversation = await client.conversations.create()

Every request is one user's: the one that ``sign_in`` returns. A conversation of another user is
answered as one that does not exist.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from faceplate.database import Database
from faceplate.errors import ConfigurationError
from faceplate.integrations.web import State

try:
    from starlette.applications import Starlette
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "OpenAI's Conversations API needs a package: pip install 'faceplate[fastapi]'"
    ) from missing

from faceplate.integrations.openai_conversations._errors import HANDLERS, RequestIds
from faceplate.integrations.openai_conversations._ids import conversation_id
from faceplate.integrations.openai_conversations._openapi import DOCUMENT
from faceplate.integrations.openai_conversations._routes import Endpoints, SignIn

__all__ = ["DOCUMENT", "SignIn", "application", "conversation_id"]

Lifespan = Callable[[object], AbstractAsyncContextManager[State]]


def application(db: Database | Lifespan, sign_in: SignIn) -> Starlette:
    """Return an ASGI application with the endpoints under ``/v1/conversations``.

    ``db`` is an open `Database`, or a lifespan that opens one, as
    `faceplate.integrations.web.lifespan` does. A mounted application has no lifespan of its own:
    it takes the Database of the outer one, which needs the same lifespan.

    ``sign_in`` is awaited with each request (a Starlette `Request`), and returns the id of the
    user, or the identity provider's ``sub`` as text: a user who is not there yet is created then.
    None is answered with 401. An `HTTPException` that it raises is answered with its own status.

    ``/openapi.json`` describes the endpoints, without a sign-in. Errors have OpenAI's shape, and
    each response has an ``x-request-id``.
    """
    given = db if isinstance(db, Database) else None
    app = Starlette(
        routes=Endpoints(given, sign_in).routes(),
        lifespan=None if isinstance(db, Database) else db,
        exception_handlers=HANDLERS,
    )
    app.add_middleware(RequestIds)
    return app
