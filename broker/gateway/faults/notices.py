"""Codes and a broker's words for them."""

from collections.abc import Mapping

from broker.gateway.faults.fault import Message
from broker.gateway.session import Session

VALIDATION = "Error validating request.-'bW' : cause - "
HISTORY = "Historical Market Data Service error message:"

TEXTS: Mapping[int, str] = {
    100: "Max rate of messages per second has been exceeded:max=50 rec=51 (1)",
    101: "Max number of tickers has been reached",
    103: "Duplicate order id",
    104: "Cannot modify a filled order.",
    162: f"{HISTORY}API historical data query cancelled: pacing violation",
    200: "No security definition has been found for the request",
    201: "Order rejected - reason:by command",
    321: f"{VALIDATION}by command",
    322: "Error processing request.-'bT' : cause - by command",
    326: "Unable to connect as the client id is already in use. Retry with a unique client id.",
    354: "Requested market data is not subscribed.Delayed market data is available.",
    399: "Order Message:\nWarning: your order will not be placed at the exchange before the next session",
    404: "Order held while securities are located.",
    1100: "Connectivity between IBKR and Trader Workstation has been lost.",
    1101: "Connectivity between IBKR and Trader Workstation has been restored - data lost.",
    1102: "Connectivity between IBKR and Trader Workstation has been restored - data maintained.",
    2103: "Market data farm connection is broken:usfarm",
    2104: "Market data farm connection is OK:usfarm",
    2105: "HMDS data farm connection is broken:ushmds",
    2106: "HMDS data farm connection is OK:ushmds",
    2107: "HMDS data farm connection is inactive but should be available upon demand.ushmds",
    2108: "Market data farm connection is inactive but should be available upon demand.usfarm",
    2109: "Order Event Warning: Attribute 'Outside Regular Trading Hours' is ignored.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
    2119: "Market data farm is connecting:usfarm",
    2157: "Sec-def data farm connection is broken:secdefil",
    2158: "Sec-def data farm connection is OK:secdefil",
    10089: "Requested market data requires additional subscription for API.",
    10090: "Part of requested market data is not subscribed. Other ticks are still active.",
    10091: "Part of requested market data requires additional subscription for API.",
    10147: "OrderId that needs to be cancelled is not found.",
    10148: "OrderId that needs to be cancelled can not be cancelled, state: Filled.",
    10167: "Requested market data is not subscribed. Displaying delayed market data.",
    10168: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10186: "Requested market data is not subscribed. Delayed market data is not enabled.",
    10197: "No market data during competing live session",
    10349: "Order TIF was set to DAY based on order preset.",
}


def error(session: Session, req_id: int, code: int, text: str = "") -> Message:
    """The error message (4) that a desk would send; without a text the broker's usual one."""
    details = ("",) if session.version >= 166 else ()
    return [4, 2, req_id, code, text or TEXTS[code], *details]
