"""The embedded simulated gateway: started, found again after a crash, and stopped with the daemon."""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from broker.simulated_clock import FollowedClock
from daemon.processes import Child, GatewayPorts, start_gateway
from daemon.settings import Settings
from options import BrokerError, SettingsError


class EmbeddedGateway:
    """The gateway of one home. With both ports set it belongs to somebody else and is only used."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._home = home
        self._settings = settings
        self._note = home / "gateway" / "ports.json"
        self._child: Child | None = None
        self._ports: GatewayPorts | None = None
        broker = settings.broker
        self._is_foreign = bool(broker.port and broker.control_port)
        if self._is_foreign:
            self._ports = GatewayPorts(broker.port, broker.control_port)

    @property
    def port(self) -> int:
        if self._ports is None:
            raise BrokerError("the simulated gateway was not started")
        return self._ports.port

    async def start(self) -> None:
        """Start it, or take up the one that outlived a daemon that was killed.

        Raises BrokerError when the gateway that was named does not answer as one.
        """
        if self._is_foreign:
            await self._status(self._settings.broker.control_port)
            return
        try:
            self._note.parent.mkdir(parents=True, exist_ok=True)
            self._ports = await self._survivor()
            if self._ports is None:
                self._child, self._ports = await start_gateway(self._home, self._settings)
                self._note.write_text(json.dumps(asdict(self._ports)))
        except OSError as error:
            raise SettingsError(
                f"{error.filename or self._note}: cannot be written ({error.strerror}); the home must be a "
                "folder of yours on a disk with room"
            ) from error

    async def _survivor(self) -> GatewayPorts | None:
        """The ports of a gateway of this home that still runs."""
        try:
            note = json.loads(self._note.read_text())
            ports = GatewayPorts(note["port"], note["control_port"])
            status = await self._status(ports.control_port)
        except (OSError, ValueError, KeyError, TypeError, BrokerError):
            return None
        return ports if status.get("home") == str(self._home) else None

    async def _status(self, control_port: int) -> dict[str, Any]:
        host = self._settings.broker.host
        clock = FollowedClock(host, control_port)
        try:
            return await clock.request("status")
        finally:
            clock.close()

    async def revive(self) -> int:
        """The control port, with the gateway started again if it died."""
        if not self._is_foreign and self._child is not None and not self._child.alive:
            fixed = self._settings.model_copy(
                update={
                    "broker": self._settings.broker.model_copy(
                        update={
                            "port": self.port,
                            "control_port": self._ports.control_port if self._ports else 0,
                        }
                    )
                }
            )
            try:
                self._child, self._ports = await start_gateway(self._home, fixed)
            except SettingsError as error:
                raise BrokerError(f"the simulated gateway does not come back: {error}") from error
        if self._ports is None:
            raise BrokerError("the simulated gateway was not started")
        return self._ports.control_port

    async def stop(self) -> None:
        """Stop what was started here; a survivor is asked to shut down."""
        if self._child is not None:
            await self._child.stop()
        elif self._ports is not None and not self._is_foreign:
            clock = FollowedClock(self._settings.broker.host, self._ports.control_port)
            try:
                await clock.request("shutdown")
            except BrokerError:
                return
            finally:
                clock.close()
        with contextlib.suppress(OSError):
            self._note.unlink()
