"""What clients ask, by name."""

from enum import IntEnum


class Request(IntEnum):
    """The number with which a client's message begins."""

    MARKET_DATA = 1
    CANCEL_MARKET_DATA = 2
    PLACE_ORDER = 3
    CANCEL_ORDER = 4
    OPEN_ORDERS = 5
    ACCOUNT_UPDATES = 6
    EXECUTIONS = 7
    NEXT_ORDER_ID = 8
    CONTRACT_DETAILS = 9
    AUTO_OPEN_ORDERS = 15
    ALL_OPEN_ORDERS = 16
    HISTORICAL_DATA = 20
    CURRENT_TIME = 49
    GLOBAL_CANCEL = 58
    POSITIONS = 61
    ACCOUNT_SUMMARY = 62
    START_API = 71
    ACCOUNT_MULTI = 76
    OPTION_CHAIN = 78
    MATCHING_SYMBOLS = 81
    MARKET_RULE = 91
    PROFIT = 92
    COMPLETED_ORDERS = 99
