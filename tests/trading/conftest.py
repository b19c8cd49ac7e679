"""The desk is tested against the real simulated gateway, as the adapter is."""

from tests.broker.conftest import bench, start

__all__ = ["bench", "start"]
