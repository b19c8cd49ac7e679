"""The words of the command line about which rules are in force, and a human's say in that."""

import argparse
from collections.abc import Callable


def add_rules_in_force(
    actions: object,
    command: Callable[..., argparse.ArgumentParser],
    add_json: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add `pending`, `approve`, `reject`, `rollback` and `revisions` to the `actions` of `optiond rules`.

    `command` makes a command, `add_json` gives it its `--json`.
    """
    add_json(command(actions, "pending", "rules_reload.pending", "rules that wait for your word, and why"))
    named = "its first six characters are enough"
    for name, summary, default in (
        ("approve", "bring the rules that wait into force", "those that wait"),
        ("reject", "ignore the rules file until it is saved again", "those that wait"),
        ("rollback", "bring earlier rules into force; the file stays as it is", "the ones before these"),
    ):
        parser = command(actions, name, f"rules_reload.{name}", summary)
        parser.add_argument(
            "revision", nargs="?", type=_revision, metavar="REVISION", help=f"default: {default}; {named}"
        )
        if name == "reject":
            parser.add_argument("--reason", type=_reason, default="by hand", help="why; it is recorded")
        if name == "rollback":
            parser.add_argument(
                "--now", action="store_true", help="on however many positions these rules act at once"
            )
        add_json(parser)
    revisions = command(
        actions, "revisions", "rules_reload.revisions", "which rules were in force when, and by whom"
    )
    revisions.add_argument("--all", action="store_true", help="every step, also what was refused or rejected")
    add_json(revisions)


def _revision(text: str) -> str:
    if not 6 <= len(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text} is no revision: give at least six of its characters")
    return text


def _reason(text: str) -> str:
    if not 1 <= len(text.strip()) <= 500:
        raise argparse.ArgumentTypeError("a reason has 1 to 500 characters")
    return text.strip()
