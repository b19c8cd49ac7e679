"""One lake, one writer: who may write to a lake in a bucket.

A home's lock file keeps a second writer out of the home; it cannot keep another home out of the bucket. There
the object `owner.json` says which home writes, in which session, and every session replaces it by a
conditional put. A writer whose session stands there no longer has been replaced on purpose: it stops.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from lake.faults import reported
from lake.store import Bucket, Folder
from options import LakeError

OWNER = "owner.json"
SESSIONS = "lake.owner"  # in the home: the sessions that it wrote in, or was about to


@dataclass(frozen=True, slots=True)
class Owner:
    """A session of this home as the writer of a bucket's lake. `replaced`: another home was, before."""

    bucket: Bucket
    tag: str
    replaced: bool

    def check(self) -> None:
        """Raises LakeError when another home has become the writer since."""
        with reported("cannot look who writes to the lake", self.bucket.uri):
            if self.bucket.tag(OWNER) == self.tag:
                return
            found = self.bucket.tagged(OWNER)
        by = _said(_parsed(found[0])) if found else "nobody any more"
        raise LakeError(
            f"the lake {self.bucket.uri} is written to by {by}: this daemon has stopped flushing and keeps "
            "everything in its journal; stop one of the two"
        )


def claim(home: Path, bucket: Bucket, take_over: bool) -> Owner:
    """Become the writer of the lake in `bucket`.

    Raises LakeError when that is another home, or this one moved or copied, unless `take_over`.
    """
    with reported("cannot look who writes to the lake", bucket.uri):
        found = bucket.tagged(OWNER)
    before = _parsed(found[0]) if found else {}
    sessions = _sessions(home)
    ours = {"host": socket.gethostname(), "home": str(home.resolve())}
    goes_on = before.get("session") in sessions and all(before.get(name) == ours[name] for name in ours)
    if before and not goes_on and not take_over:
        raise LakeError(
            f"the lake {bucket.uri} belongs to {_said(before)}: leave it to that home; or, if that one will "
            "never write again, take it over with: optiond run --take-over"
        )
    session = uuid4().hex
    content = json.dumps({**ours, "session": session, "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"})
    with reported("cannot note the session", home / SESSIONS):
        # Before the bucket says so: dying in between must not lock this home out.
        noted = [*(s for s in sessions if s == before.get("session")), session]
        Folder(home).write(SESSIONS, json.dumps(noted).encode())
    with reported("cannot become the writer of the lake", bucket.uri):
        bucket.swap(OWNER, content.encode(), found[1] if found else None)
        # Not the answer to the put counts, which may have been lost, but what stands there.
        now = bucket.tagged(OWNER)
    if now is None or now[0] != content.encode():
        by = _said(_parsed(now[0])) if now else "nobody"
        raise LakeError(f"the lake {bucket.uri} was claimed by {by} at this very moment: stop one of the two")
    return Owner(bucket, now[1], bool(before) and not goes_on)


def _sessions(home: Path) -> list[str]:
    try:
        return [str(session) for session in json.loads((home / SESSIONS).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise LakeError(
            f"{home / SESSIONS} cannot be read ({type(error).__name__}): remove it and "
            "start with: optiond run --take-over"
        ) from error


def _parsed(content: bytes) -> Mapping[str, Any]:
    """What the object says; one that says nothing belongs to somebody unknown."""
    try:
        said = json.loads(content)
    except ValueError:
        said = None
    return said if isinstance(said, dict) and said else {"home": "unknown", "host": "unknown"}


def _said(owner: Mapping[str, Any]) -> str:
    since = f" since {owner['since']}" if "since" in owner else ""
    return f"the home {owner.get('home')} on {owner.get('host')}{since}"
