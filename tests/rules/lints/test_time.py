"""Linting is done at every save: it must not be felt."""

import time

import rules
from tests.rules.lints.random_books import sixty_rules


def test_sixty_rules_are_linted_in_a_second() -> None:
    book = rules.parse(sixty_rules())
    start = time.process_time()
    found = rules.lint(book)
    assert time.process_time() - start < 1.5  # half as much alone on the machine
    assert {one.kind for one in found} == {"shadowed"}
