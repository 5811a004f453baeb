"""Several talks of one command: how many at a time, how all of them end, and when they go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from voicecli.errors import ConfigError

if TYPE_CHECKING:
    from voicecli.inputs import Input
    from voicecli.session import Session

MOST_JOBS: Final = 32
LINGER_S: Final = 1.0
"After the last answer: how long a talk goes on, for what comes late."
INTERRUPTED: Final = 130
"The exit code after Ctrl-C, as shells have it."


def check_jobs(jobs: int) -> None:
    """See that so many talks can run at a time.

    Raises:
        ConfigError: they cannot.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs {jobs} is out of range", f"it is 1 to {MOST_JOBS}")


@dataclass
class Stage:
    """The talks that run, and whether more of them may begin."""

    sessions: set[Session] = field(default_factory=set)
    is_stopped: bool = False

    def stop(self) -> None:
        """Ctrl-C: end every talk in good order."""
        self.is_stopped = True
        for session in list(self.sessions):
            session.quit()


def delivery(session: Session) -> Callable[[float, Input], None]:
    """Puts an input into the session later: a step is no place for another one."""
    loop = asyncio.get_running_loop()

    def deliver_in(delay_s: float, an_input: Input) -> None:
        loop.call_later(delay_s, session.deliver, an_input)

    return deliver_in
