"""What holds for every test: no event that the API does not know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers_strict import Judge

from voicecli.protocol.events import Event

judge = Judge()


def pytest_configure() -> None:
    judge.watch()


@pytest.fixture(autouse=True)
def _only_events_of_the_api() -> Iterator[None]:
    before = len(judge.wrong)
    yield
    assert judge.wrong[before:] == []


@pytest.fixture
def said() -> Iterator[list[Event]]:
    """All that engine and client of ours say in this test, in order."""
    events: list[Event] = []
    judge.witnesses.append(events)
    yield events
    judge.witnesses.remove(events)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if judge.seen:
        terminalreporter.write_line(judge.verdict())
