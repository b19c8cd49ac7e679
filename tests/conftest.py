"""Where tests find the recorded data, and what is said when it is not there."""

from pathlib import Path

import pytest
from hypothesis import settings

# Examples are timed by the machine's load, not by us.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

RECORDED = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Recorded market data lies beside the project (in CI always); elsewhere those tests are left out."""
    if RECORDED.is_dir():
        return
    kept = [item for item in items if not item.get_closest_marker("recorded")]
    left_out = [item for item in items if item.get_closest_marker("recorded")]
    items[:] = kept
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header() -> str:
    if RECORDED.is_dir():
        return f"recorded market data: {RECORDED}"
    return f"recorded market data is not at {RECORDED}: the tests that read it are left out"


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded quotes and positions."""
    return RECORDED
