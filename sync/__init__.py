"""From the broker's words to what is known: quotes, positions, facts, and whether our books agree.

Pure state and functions between broker events and the facts frame. The daemon's cycle calls them with
the time; nothing here sleeps, asks the network or writes to the lake.
"""
