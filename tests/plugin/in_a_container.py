"""The plugin with a server in a container. Its name keeps it out of a run without an engine."""

from pathlib import Path

import pytest
from tests.plugin import projects
from tests.plugin.test_plugin import USES


def test_the_server_is_a_container(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Else the page names a way that nobody has gone."""
    project = projects.write(
        tmp_path,
        test_it=USES.format(mark="pytestmark = pytest.mark.asyncio"),
        test_where="""
            def test_where(faceplate_server):
                assert faceplate_server.source == "container"
        """,
    )
    image = pytestconfig.option.postgres_image
    outcomes, output = projects.run(project, "-n2", "-o", f"faceplate_postgres_image={image}")
    assert outcomes == {"passed": 4}, output
