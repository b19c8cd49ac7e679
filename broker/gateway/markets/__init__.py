"""Where prices come from, behind one protocol: a model of a market, a recording, or a test's script."""
