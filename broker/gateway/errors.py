"""The gateway's own errors."""

from options import OptiondError


class GatewayError(OptiondError):
    """The simulated gateway cannot start or go on: its files, ports or arguments must be changed."""


class MessageError(GatewayError):
    """A client's message does not have the layout of its kind."""
