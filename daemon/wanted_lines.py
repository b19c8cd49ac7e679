"""Which contracts need a market-data line, and how badly."""

from datetime import datetime

from daemon.account_state import AccountState
from options import NEW_YORK, SecType
from sync.line_budget import LinePriority, Wanted

NEAR_EXPIRY_DAYS = 7


def wanted_lines(state: AccountState, now: datetime) -> list[Wanted]:
    """Underlyings, what orders and rolls are priced from, and every leg held."""
    wanted = [
        Wanted(contract.con_id, LinePriority.UNDERLYING)
        for contract in state.contracts.values()
        if contract.sec_type in (SecType.STOCK, SecType.INDEX)
    ]
    wanted += [
        Wanted(leg.contract.con_id, LinePriority.WORKING_ORDER)
        for intent in state.desk.open_intents
        for leg in intent.legs
    ]
    for contract in state.roller.wanted:
        state.contracts[contract.con_id] = contract
        wanted.append(Wanted(contract.con_id, LinePriority.WORKING_ORDER))
    today = now.astimezone(NEW_YORK).date()
    for position in state.positions.positions:
        for leg in position.legs:
            expiry = leg.contract.expiry
            near = expiry is not None and (expiry - today).days <= NEAR_EXPIRY_DAYS
            risky = leg.quantity < 0 and near
            priority = LinePriority.RISKY_SHORT if risky else LinePriority.REST
            wanted.append(Wanted(leg.contract.con_id, priority))
    return wanted
