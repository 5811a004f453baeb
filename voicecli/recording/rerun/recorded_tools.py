"""The functions of a recording: what they gave then answers the same calls now; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from voicecli.recording.rerun.turns import RecordedCall


class RecordedTools:
    """Satisfies `session.Toolbox`.

    A call gets the output of the first recorded call that is not used up and has the same name and
    arguments; else of the first with the same name; else an error, which the model is told.
    """

    def __init__(self, calls: Sequence[RecordedCall]) -> None:
        self._unused = list(calls)
        self._known = {call.name for call in calls}
        self.missed = 0
        "Calls for which the recording had no output."

    async def run(self, name: str, arguments: str) -> tuple[str, bool]:
        """What the recorded call gave, and whether that is a failure."""
        called = [call for call in self._unused if call.name == name]
        same = [call for call in called if _value(call.arguments) == _value(arguments)]
        found = next(iter([*same, *called]), None)
        if found is None:
            self.missed += 1
            happened = "no more calls" if name in self._known else "no call"
            message = f"the recording has {happened} of {name!r}"
            return msgspec.json.encode({"error": message}).decode(), True
        self._unused.remove(found)
        return found.output, found.failed


def _value(arguments: str) -> object:
    """Arguments as a value, so that spaces and the order of keys do not matter."""
    try:
        return msgspec.json.decode(arguments or "{}")
    except (msgspec.MsgspecError, UnicodeError):
        return arguments
