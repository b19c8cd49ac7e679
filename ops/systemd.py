"""Telling systemd how we are, in the protocol of sd_notify(3). Without systemd it does nothing."""

import os
import socket


def notify(*assignments: str) -> bool:
    """Send assignments such as `READY=1`, `WATCHDOG=1` or `STATUS=...`; False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto("\n".join(assignments).encode(), target)
        except OSError:
            return False
    return True


def watchdog_interval_s() -> float | None:
    """Half of systemd's patience in seconds, None when no watchdog waits."""
    patience = os.environ.get("WATCHDOG_USEC", "")
    return int(patience) / 2_000_000 if patience.isdigit() else None
