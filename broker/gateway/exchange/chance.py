"""Chance that is the same in every run: all of it comes from the seed and from what it is about."""

import hashlib


def draw(seed: int, *about: object) -> float:
    """A number in (0, 1), as likely to lie here as there, and always the same one for the same matter."""
    digest = hashlib.blake2b("\n".join(map(str, (seed, *about))).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64
