"""The gateway's own errors."""

from options import OptiondError

REJECTED = 201


class GatewayError(OptiondError):
    """The simulated gateway cannot start or go on: its files, ports or arguments must be changed."""


class MessageError(GatewayError):
    """A client's message does not have the layout of its kind."""


class RequestRefused(GatewayError):
    """A request that a gateway answers with an error; `code` is Interactive Brokers' number for it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class OrderRefused(RequestRefused):
    """An order that the exchange does not take, or cannot carry when its turn comes."""


def rejection(reason: str) -> OrderRefused:
    return OrderRefused(REJECTED, f"Order rejected - reason:{reason}")
