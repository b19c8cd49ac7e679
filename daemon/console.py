"""What is happening, in plain words, for the terminal; and as JSON lines in the log."""

import logging
import logging.handlers
import sys
from datetime import datetime
from pathlib import Path
from typing import TextIO

import structlog

from options import NEW_YORK

log = structlog.get_logger()


class Console:
    """Says one plain line at a time, with the daemon's time in New York."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout

    def say(self, text: str, time: datetime | None = None) -> None:
        stamp = f"{time.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S}  " if time else ""
        try:
            print(stamp + text, file=self._stream, flush=True)
        except BrokenPipeError:
            self._stream = open("/dev/null", "w")  # noqa: PTH123, SIM115
        except OSError as error:
            # The output goes to a file on a full disk: no reason to stop, the lake has it all.
            log.warning("console.refused", error=str(error), text=text)


def configure_logging(home: Path) -> Path:
    """JSON lines into `<home>/logs/optiond.jsonl`, rotated; returns the file."""
    path = home / "logs" / "optiond.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=20_000_000, backupCount=5)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="logged"),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    logging.raiseExceptions = False  # a full disk must not fill the terminal with tracebacks
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return path
