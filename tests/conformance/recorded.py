"""The shapes of real messages, recorded from gateways by others and published in their repositories.

A shape has one letter for each field: `i` an integer, `d` a number with a decimal point, `t` other text,
`_` nothing, `U` `I` `L` the unset double, int and long, `?` and `N` those texts (`N`: "None"). It tells the
number, order and form of the fields and nothing of what they said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

NAUTILUS = "nautechsystems/nautilus_trader"
RESPONSES = "tests/integration_tests/adapters/interactive_brokers/resources/responses"
RUST = "wboayue/rust-ibapi"

UNSET = {
    "": "_",
    "1.7976931348623157E308": "U",
    "2147483647": "I",
    "9223372036854775807": "L",
    "?": "?",
    "None": "N",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """`what`: the message's content in a few words; `version`: the server's when it was recorded."""

    kind: int
    version: int
    what: str
    shape: str
    repository: str
    path: str


def shape(fields: Sequence[str]) -> str:
    """See the module."""
    return "".join(UNSET.get(field) or _form(field) for field in fields)


def _form(field: str) -> str:
    if re.fullmatch(r"-?\d+", field):
        return "i"
    return "d" if re.fullmatch(r"-?\d+\.\d+", field) else "t"


RECORDINGS = (
    Recording(3, 164, "a new order", "iitiiiiiii_i", RUST, "src/orders/tests.rs"),
    Recording(3, 176, "a filled order", "iitiidiidi_i", NAUTILUS, f"{RESPONSES}/order_status_1.txt"),
    Recording(4, 176, "a farm is well", "iiiit_", NAUTILUS, f"{RESPONSES}/data_connections_1.txt"),
    Recording(
        5,
        164,
        "a new market order for shares",
        "iiitt_i?_tttttitddt_t_i_iiiii_t_________i_ii_____Iiii_iii_ii_iN_i___?ii_ii_____iiiII__i_tii_iit"
        "UUUUUUUUU_____iiiNUUUUUUi___iiiii__i",
        RUST,
        "src/orders/common/test_data.rs",
    ),
    Recording(
        5,
        164,
        "the same, filled, with its commission",
        "iiitt_i?_tttttitddt_t_i_iiiii_t_________i_ii_____Iiii_iii_ii_iN_i___?ii_ii_____iiiII__i_tii_iit"
        "UUUUUUUUUd__t_iiiNUUUUUUi___iiiii__i",
        RUST,
        "src/orders/common/test_data.rs",
    ),
    Recording(
        5,
        176,
        "a market order for shares, with a reference",
        "iiitt_i?_tttttitddt_t_itiiiii_t_________i_ii_____Iiii_iii_ii_iN_i___?ii_ii_____iiiII__i_tii_iit"
        "UUUUUUUUU_____iiiNUUUUUUi___iiiii__i_____",
        NAUTILUS,
        f"{RESPONSES}/open_order_1.txt",
    ),
    Recording(
        10,
        173,
        "details of shares",
        "iitt_i_tttttid_ttiitt_tttttt__itti__t_tddi",
        RUST,
        "src/transport/connection/tests.rs",
    ),
    Recording(11, 164, "shares bought", "iiiitt_d__tttttttttidiiiid____i", RUST, "src/orders/tests.rs"),
    Recording(
        11,
        176,
        "currency bought, with a reference",
        "iiiitt_d__tttttttttidiiiidt___i",
        NAUTILUS,
        f"{RESPONSES}/execution_details_1.txt",
    ),
    Recording(59, 164, "of an opening trade", "iitdtUU_", RUST, "src/orders/tests.rs"),
    Recording(61, 176, "a closed position", "iititt_d___tttid", NAUTILUS, f"{RESPONSES}/position_1.txt"),
    Recording(63, 176, "net liquidation", "iiittdt", NAUTILUS, f"{RESPONSES}/account_summary_1.txt"),
    Recording(73, 164, "cash balance", "iiit_tdt", RUST, "src/testdata/responses.rs"),
    Recording(99, 176, "bid and ask", "iiiiddiii", NAUTILUS, f"{RESPONSES}/quote_tick_1.txt"),
)
