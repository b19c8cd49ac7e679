"""The exchange and the paper account behind it: orders, fills, margin, settlement. It knows no socket."""
