"""What faceplate relies on in uuid6: docs/private-parts.md, U1."""

from types import SimpleNamespace

import pytest
import uuid6


def test_uuid6_asks_its_module_for_the_time_and_the_last_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a test that sets the clock gets ids of today."""
    later = uuid6.uuid7()
    assert vars(uuid6)["_last_v7_timestamp"] == later.time
    monkeypatch.setattr(uuid6, "time", SimpleNamespace(time_ns=lambda: 10**18))
    assert uuid6.uuid7().time > later.time
    monkeypatch.setattr(uuid6, "_last_v7_timestamp", None)
    assert uuid6.uuid7().time == 10**12
