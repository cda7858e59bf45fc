"""Whatever a conversation went through, each provider takes it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from tests.providers.histories import call, result, stored
from tests.providers.rules import check_anthropic, check_openai

from faceplate import Message
from faceplate.integrations.anthropic import to_anthropic
from faceplate.integrations.openai import to_openai
from faceplate.services.messages import NewMessage
from faceplate.services.tool_calls import update_pending

TEXTS = st.sampled_from(["", " ", "Hello", "One\n\n"])
IDS = ["call_0", "call_1", "call_2", "web.run:0", "x" * 50]
NAMES = st.sampled_from(["weather", "web.run", "n" * 70])


@st.composite
def histories(draw: st.DrawFn) -> Sequence[Message]:
    """A window of a conversation that faceplate's rules allow, after which the user speaks."""
    pending: set[str] = set()
    said = []
    for _ in range(draw(st.integers(0, 12))):
        new = NewMessage(draw(st.sampled_from(["user", "assistant", "system"])), draw(TEXTS))
        free = [id_ for id_ in IDS if id_ not in pending]
        if new.role == "assistant" and free and draw(st.booleans()):
            ids = draw(st.lists(st.sampled_from(free), unique=True, min_size=1))
            new = new._replace(tool_calls=[call(id_, draw(NAMES)) for id_ in ids])
        elif draw(st.booleans()) and pending:
            answered = draw(st.lists(st.sampled_from(sorted(pending)), unique=True, min_size=1))
            results = [result(id_, draw(TEXTS), is_error=len(id_) > 9) for id_ in answered]
            new = NewMessage("tool", tool_results=results)
        update_pending(pending, new.tool_calls, new.tool_results)
        status = "complete"
        if new.role == "assistant" and not new.tool_calls:
            status = draw(st.sampled_from(["complete", "interrupted", "failed"]))
        said.append(stored(new, status))
    begin = draw(st.integers(0, len(said)))
    return [*said[begin:], stored(NewMessage("user", "Go on"))]


@given(histories())
def test_a_window_of_any_conversation_is_taken(history: Sequence[Message]) -> None:
    """Else some user has a conversation that no model answers any more."""
    check_openai(to_openai(history))
    check_anthropic(to_anthropic(history))
