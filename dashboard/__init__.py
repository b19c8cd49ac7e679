"""The page: one Dash process that shows an installation and can halt it.

It reads the lake and the daemon's control API, nothing else, and keeps running when either is away. It
never reads the control token: whoever halts types it.
"""

from dashboard.app import main

__all__ = ["main"]
