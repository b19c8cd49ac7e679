"""What a fault is: a small frozen description with typed parameters, and what it does once it has begun."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, get_args, get_origin, get_type_hints

from broker.gateway.errors import GatewayError, OrderRefused
from broker.gateway.markets.quotes import Quote
from broker.gateway.protocol.order_request import OrderRequest
from broker.gateway.protocol.wire import Value
from broker.gateway.session import Session
from options import ConId

if TYPE_CHECKING:
    from broker.gateway.gateway import Gateway

Message = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Held:
    """A message that is sent later: `delay_s` simulated seconds from now, or right after the next message
    to the same client that `after` accepts, whichever comes first. None: not by this."""

    message: Message
    delay_s: float | None = None
    after: Callable[[Message], bool] | None = None


Edit = Sequence[Message | Held]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault does while it lasts; a part that is None leaves its matter alone.

    `opened`: is called with every connection, the present ones and those to come.
    `outgoing`: the messages to send instead of one; None leaves it as it is.
    `incoming`: whether a client's message (its number and all its fields) is taken from the desks.
    `quote`: the quote that a contract has instead of the market's; None leaves it.
    `order`: why an order is refused; None does not.
    `end`: takes the fault back.
    `requotes`: whether quotes or fills look different once it has begun or ended.
    `client`: the only client that suffers; None for all.
    """

    opened: Callable[[Session], None] | None = None
    outgoing: Callable[[Session, Message], Edit | None] | None = None
    incoming: Callable[[Session, int, Sequence[str]], bool] | None = None
    quote: Callable[[ConId, Quote], Quote | None] | None = None
    order: Callable[[OrderRequest], OrderRefused | None] | None = None
    end: Callable[[], None] | None = None
    requotes: bool = False
    client: int | None = None


class Fault(Protocol):
    """A bad thing that can happen. Its fields are the parameters, each annotated with what it means.

    `wire` says what goes over the wire, `suffers` what an untouched ib_async makes of it, `source` where
    that is known from. `lasts`: whether it goes on until it is ended; `times`: after how many applications
    it ends by itself, None for never. `targets`: the parameters that tell apart what may be active side by
    side.
    """

    name: ClassVar[str]
    wire: ClassVar[str]
    suffers: ClassVar[str]
    source: ClassVar[str]
    lasts: ClassVar[bool] = True
    times: ClassVar[int | None] = None
    targets: ClassVar[tuple[str, ...]] = ()

    def begin(self, gateway: "Gateway") -> Effect | None:
        """Does it at once (None: there is nothing to end), or says what it does from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """`default` is `dataclasses.MISSING` for one that must be given. `least` is the smallest number.

    `choices`: the values by their names where only some are allowed, else None.
    """

    name: str
    type: type
    optional: bool
    default: object
    meaning: str
    least: float | None = None
    choices: Mapping[str, object] | None = None

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def shown_default(self) -> object:
        """The default as it would be given."""
        names = [name for name, value in (self.choices or {}).items() if value == self.default]
        if not names:
            return self.default
        return self.default if isinstance(self.default, int) and names[0].isdigit() else names[0]

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        if self.choices:
            return " or ".join(self.choices)
        words = {int: "a whole number", float: "a number", bool: "true or false"}.get(self.type, "text")
        return words if self.least is None else f"{words} from {self.least:g}"

    def parse(self, value: object) -> object:
        """The value as the parameter takes it; raises ValueError."""
        if value is None and self.optional:
            return None
        if self.choices:
            if str(value) in self.choices:
                return self.choices[str(value)]
        elif self.type is bool or isinstance(value, bool):
            if self.type is bool and isinstance(value, bool):
                return value
        elif self.type is str and isinstance(value, str):
            return str(value)
        elif isinstance(value, int) or (self.type is float and isinstance(value, float)):
            number = float(value) if self.type is float else value
            if math.isfinite(number) and (self.least is None or number >= self.least):
                return number
        raise ValueError(f"is {value!r} and should be {self.allowed}")


ENDINGS = (
    Parameter("seconds", float, True, None, "simulated seconds until it ends; for ever when left out", 0.0),
    Parameter("times", int, True, None, "applications after which it ends", 1),
    Parameter("on", bool, False, True, "false ends it"),
)


def accepted(fault: type[Fault]) -> list[Parameter]:
    """Every parameter that may be given: the fault's own, then how it ends if it lasts."""
    hints = get_type_hints(fault, include_extras=True)
    fields = dataclasses.fields(fault)  # type: ignore[arg-type]  # every fault is a dataclass
    own = [_parameter(each.name, each.default, hints[each.name]) for each in fields]
    return [*own, *(ENDINGS if fault.lasts else ())]


def _parameter(name: str, default: object, hint: object) -> Parameter:
    """From `Annotated[type, meaning]` or `Annotated[type, meaning, least number]`."""
    kind, meaning, *least = get_args(hint)
    optional = NoneType in get_args(kind)
    if optional:
        (kind,) = [one for one in get_args(kind) if one is not NoneType]
    choices: dict[str, object] | None = None
    if get_origin(kind) is Literal:
        choices = {str(value): value for value in get_args(kind)}
    elif issubclass(kind, StrEnum):
        choices = {member.value: member for member in kind}
    elif issubclass(kind, Enum):
        choices = {member.name.lower(): member for member in kind}
    return Parameter(name, kind, optional, default, meaning, least[0] if least else None, choices)


@dataclass(frozen=True, slots=True)
class Ending:
    """How what lasts ends: after simulated seconds, after applications, by healing; `on` False: now."""

    seconds: float | None = None
    times: int | None = None
    on: bool = True


def read(fault: type[Fault], given: Mapping[str, object]) -> tuple[dict[str, Any], Ending]:
    """A fault's parameters as given, and how it ends; raises GatewayError for what cannot be meant. What
    ends now may leave out everything."""
    known = {each.name: each for each in accepted(fault)}
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise GatewayError(f"fault {fault.name} has no parameter {name!r}: it takes {', '.join(known)}")
        try:
            values[name] = known[name].parse(value)
        except ValueError as error:
            raise GatewayError(f"fault {fault.name}: parameter {name} {error}") from None
    ending = Ending(
        **{each.name: values.pop(each.name) for each in ENDINGS if each.name in values and fault.lasts}
    )
    for each in known.values() if ending.on else ():
        if each.required and each.name not in values:
            raise GatewayError(f"fault {fault.name}: parameter {each.name} is missing: give {each.meaning}")
    return values, ending
