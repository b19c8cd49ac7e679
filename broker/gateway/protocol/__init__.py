"""The wire: frames and fields of the TWS text protocol, and the layout of every message. Pure."""
