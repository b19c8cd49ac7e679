"""Bars of the past, of shares, the index and options, from the paths that the quotes come from."""

from dataclasses import dataclass
from datetime import datetime

from broker.gateway.market import Bar
from broker.gateway.model.paths import Paths
from options import Contract


@dataclass(frozen=True, slots=True)
class Charts:
    paths: Paths

    def bars(self, contract: Contract, since: datetime, until: datetime, seconds: int) -> list[Bar]:
        return []
