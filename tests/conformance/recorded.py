"""The forms of real messages, recorded from gateways by others and published in their repositories.

A form has one letter for each field: `i` an integer, `d` a number with a decimal point, `t` other text,
`_` nothing, `U` `I` `L` the unset double, int and long, `?` and `N` those texts (`N`: "None"), `*` a field
that is not compared because another kind of contract was traded. It tells the number, order and form of the
fields and nothing of what they said.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

RUST = "`wboayue/rust-ibapi`"
RUST_ORDERS = f"{RUST} src/orders/tests.rs"
RUST_CONTRACTS = f"{RUST} src/contracts/tests.rs"
RUST_ANSWERS = f"{RUST} src/testdata/responses.rs"
NAUTILUS = (
    "`nautechsystems/nautilus_trader`"
    " tests/integration_tests/adapters/interactive_brokers/resources/responses/"
)

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
    """`version`: the server's when it was recorded. `source`: repository and path, or issue.

    Ours is to be compared at the same `moment` of a trade in shares whose orders have the reference `ref`;
    it is the last one which has all fields of `holding`.
    """

    kind: int
    version: int
    what: str
    form: str
    source: str
    moment: str
    holding: tuple[str, ...] = ()
    ref: str = ""


def form(fields: Sequence[str]) -> str:
    """See the module."""
    return "".join(UNSET.get(field) or _letter(field) for field in fields)


def _letter(field: str) -> str:
    if re.fullmatch(r"-?\d+", field):
        return "i"
    return "d" if re.fullmatch(r"-?\d+\.\d+", field) else "t"


def _open_order(ref: str, commission: str, late: str) -> str:
    """An openOrder for shares at the market: its reference, commission and currency, and its last fields."""
    return (
        f"iiitt_i?_tttttitddt_t_i{ref}iiiii_t_________i_ii_____Iiii_iii_ii_iN_i___?ii_ii_____iiiII__i_tii_iit"
        f"UUUUUUUUU{commission}_iiiNUUUUUUi___iiiii{late}"
    )


RECORDINGS = (
    Recording(3, 164, "a new order", "iitiiiiiii_i", RUST_ORDERS, "resting"),
    Recording(3, 164, "a filled order", "iitiidiidi_i", RUST_ORDERS, "bought", ("Filled",)),
    Recording(
        3, 176, "a filled order", "iitiidiidi_i", f"{NAUTILUS}order_status_1.txt", "bought", ("Filled",)
    ),
    Recording(4, 176, "a notice", "iiiit_", f"{NAUTILUS}data_connections_1.txt", "cancelled"),
    Recording(5, 164, "a resting order", _open_order("_", "____", "__i"), RUST_ORDERS, "resting"),
    Recording(
        5, 164, "a filled order", _open_order("_", "d__t", "__i"), RUST_ORDERS, "bought", ("Filled", "USD")
    ),
    Recording(
        5,
        176,
        "an order with a reference",
        _open_order("t", "____", "__i_____"),
        f"{NAUTILUS}open_order_1.txt",
        "resting",
        ref="ours",
    ),
    Recording(10, 164, "shares", "iitt_i_tttttid_ttiitt_tttttt__itti__t_tiii", RUST_CONTRACTS, "asked"),
    Recording(11, 164, "shares bought", "iiiitt_d__tttttttttidiiiid____i", RUST_ORDERS, "bought"),
    Recording(
        11,
        176,
        "a purchase with a reference",
        "iiiitt_d__tttttttttidiiiidt___i",
        f"{NAUTILUS}execution_details_1.txt",
        "bought",
        ref="ours",
    ),
    Recording(
        11,
        178,
        "a purchase, asked for",
        "iiiitt_d__ttt_tttttidiiiidi___ii",
        "`ib-api-reloaded/ib_async` issue 188",
        "books",
        ref="77",
    ),
    Recording(59, 164, "an opening trade", "iitdtUU_", RUST_ORDERS, "bought"),
    Recording(59, 176, "an opening trade", "iitdtUU_", f"{NAUTILUS}commission_report_1.txt", "bought"),
    Recording(61, 164, "shares", "iititt_d__ttttid", RUST_ANSWERS, "held"),
    Recording(61, 176, "a closed position", "iititt_d___tttid", f"{NAUTILUS}position_1.txt", "sold"),
    Recording(63, 176, "an amount", "iiittdt", f"{NAUTILUS}account_summary_1.txt", "asked"),
    Recording(73, 164, "an amount", "iiit_tdt", RUST_ANSWERS, "asked", ("CashBalance",)),
    Recording(
        101,
        173,
        "a cancelled order",
        "iitt*i?*tttttitddt_t_i_iiii__________i_i_____Iii_ii_iN_iii_ii___iiiII___tii_itiii*Uiii_iIitiiLtt"
        "_____",
        f"{RUST} src/orders/common/test_data.rs",
        "books",
        ("Cancelled",),
    ),
    Recording(99, 176, "bid and ask", "iiiiddiii", f"{NAUTILUS}quote_tick_1.txt", "asked"),
)
