"""Sessions on file: written as they pass, told in words, run again, played to a client."""
