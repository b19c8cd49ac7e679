"""Days on which faults happen by a plan: YAML files, some of which come along.

`plan` reads one and has the gateway's clock carry it out.
"""

from broker.gateway.days.day import SHIPPED, plan, read_day

__all__ = ["SHIPPED", "plan", "read_day"]
