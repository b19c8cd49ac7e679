"""What a command answered."""

import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """One JSON object per line."""
        assert self.code == 0, self
        return [json.loads(line) for line in self.out.splitlines()]
