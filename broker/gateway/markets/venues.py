"""Where contracts trade, and which letter and bit of a SMART quote stands for which exchange.

Letters are those of the consolidated tapes: the share tapes' participant ids and OPRA's for options.
"""

from broker.gateway.protocol.wire import Value
from options import Contract, SecType

SHARE_COMPONENTS = "9c0001"
OPTION_COMPONENTS = "9c0002"

_SHARES = (
    *(("AMEX", "A"), ("BEX", "B"), ("NYSENAT", "C"), ("PEARL", "H"), ("EDGEA", "J"), ("DRCTEDGE", "K")),
    *(("LTSE", "L"), ("CHX", "M"), ("NYSE", "N"), ("ARCA", "P"), ("NASDAQ", "Q"), ("MEMX", "U")),
    *(("IEX", "V"), ("PSX", "X"), ("BYX", "Y"), ("BATS", "Z")),
)
_OPTIONS = (
    *(("AMEX", "A"), ("BOX", "B"), ("CBOE", "C"), ("EMERALD", "D"), ("EDGX", "E"), ("GEMINI", "H")),
    *(("ISE", "I"), ("MERCURY", "J"), ("MIAX", "M"), ("PSE", "N"), ("PEARL", "P"), ("NASDAQOM", "Q")),
    *(("NASDAQBX", "T"), ("MEMX", "U"), ("CBOE2", "W"), ("PHLX", "X"), ("BATS", "Z")),
)
_MAPS = {SHARE_COMPONENTS: _SHARES, OPTION_COMPONENTS: _OPTIONS}
_SHARE_EXCHANGES = ("SMART", *(name for name, _ in _SHARES))
_OPTION_EXCHANGES = ("SMART", *(name for name, _ in _OPTIONS))
_RINGS = {name: "".join(letter for _, letter in venues) * 2 for name, venues in _MAPS.items()}


def exchanges_of(contract: Contract) -> tuple[str, ...]:
    """Where the contract can be traded or watched."""
    match contract.sec_type:
        case SecType.OPTION:
            return _OPTION_EXCHANGES
        case SecType.INDEX:
            return (contract.exchange,)
    return _SHARE_EXCHANGES


def components_of(contract: Contract) -> str:
    """The name of the map that a contract's quotes refer to."""
    return OPTION_COMPONENTS if contract.sec_type is SecType.OPTION else SHARE_COMPONENTS


def best_letters(contract: Contract, size: int) -> str:
    """The venues that show a best price of `size` contracts: more of them, the larger it is."""
    ring = _RINGS[components_of(contract)]
    first = contract.con_id % (len(ring) // 2)
    return ring[first : first + min(1 + size // 50, len(ring) // 2)]


def smart_components(req_id: int, name: str) -> list[Value]:
    """smartComponents (82): bit, exchange and letter of each venue; none for an unknown map."""
    venues = _MAPS.get(name, ())
    rows = [value for bit, (exchange, letter) in enumerate(venues) for value in (bit, exchange, letter)]
    return [82, req_id, len(venues), *rows]
