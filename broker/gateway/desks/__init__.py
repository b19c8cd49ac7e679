"""Who answers which request: each desk reads one kind and says what exchange and market know."""
