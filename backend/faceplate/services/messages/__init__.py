"""Messages of the scope's user: append, read in order, replace, remove.

A conversation may have branches. `history`, `before`, `after`, `page`, `walk` and `everything` read
one path through them: the one that ends at the conversation's head, which is its newest message
unless `conversations.switch` has moved it, or the one that ends at a given ``leaf``.
"""

from faceplate.services._new_messages import NewMessage
from faceplate.services.conversations import NewConversation
from faceplate.services.messages._asking import ask
from faceplate.services.messages._drafts import append_draft, save_draft, sweep_drafts
from faceplate.services.messages._reading import (
    MAX_LIMIT,
    after,
    before,
    bodies,
    branches,
    branches_at,
    everything,
    get,
    history,
    page,
    pending_tool_calls,
    walk,
)
from faceplate.services.messages._searching import search
from faceplate.services.messages._writing import (
    MAX_BATCH,
    MAX_BATCH_CHARS,
    append,
    append_many,
    remove,
    remove_after,
    remove_last,
    remove_one,
    replace,
)

__all__ = [
    "MAX_BATCH",
    "MAX_BATCH_CHARS",
    "MAX_LIMIT",
    "NewConversation",
    "NewMessage",
    "after",
    "append",
    "append_draft",
    "append_many",
    "ask",
    "before",
    "bodies",
    "branches",
    "branches_at",
    "everything",
    "get",
    "history",
    "page",
    "pending_tool_calls",
    "remove",
    "remove_after",
    "remove_last",
    "remove_one",
    "replace",
    "save_draft",
    "search",
    "sweep_drafts",
    "walk",
]
