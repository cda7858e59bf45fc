"""What of the suite is left out, or may be refused, with ``--database=citus``."""

from collections.abc import Iterator

import pytest

from faceplate.errors import DatabaseError

REFUSALS = {"0A000", "XX000"}
"""The SQLSTATEs with which Citus refuses a statement."""


class OnCitus:
    """Leaves out what cannot hold on Citus, and tells a refusal from a failure."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if (marker := item.get_closest_marker("not_on_citus")) is not None:
                item.add_marker(pytest.mark.skip(reason=f"on Citus, {marker.args[0]}"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            marker = item.get_closest_marker("citus_may_refuse")
            if marker is None or error.sqlstate not in REFUSALS:
                raise
            pytest.xfail(f"Citus refuses the statement: {marker.args[0]}")
