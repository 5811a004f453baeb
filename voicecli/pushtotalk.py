"""Push to talk: one turn from press to commit, counted in audio."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from voicecli.audio.pcm import FRAME_MS

RELEASE_GRACE_MS: Final = 200
"Audio still taken after the release: a finger is faster than a last syllable."

MIN_COMMIT_MS: Final = 100
"The server refuses to commit less (`input_audio_buffer_commit_empty`)."

Outcome: TypeAlias = Literal["commit", "clear"]


class PushToTalk:
    """Whether the user's turn is open, and what becomes of it."""

    def __init__(self) -> None:
        self.is_open = False
        self._sent_ms = 0
        self._grace_ms: int | None = None

    def press(self) -> bool:
        """The user begins, or goes on within the grace; says whether a turn has begun."""
        self._grace_ms = None
        if self.is_open:
            return False
        self.is_open, self._sent_ms = True, 0
        return True

    def release(self) -> None:
        """The user is done; some frames are still taken."""
        if self.is_open and self._grace_ms is None:
            self._grace_ms = RELEASE_GRACE_MS

    def frame_sent(self) -> Outcome | None:
        """A frame of the turn went out; says what to do with the turn if it is over."""
        self._sent_ms += FRAME_MS
        if self._grace_ms is None:
            return None
        self._grace_ms -= FRAME_MS
        if self._grace_ms > 0:
            return None
        self.is_open, self._grace_ms = False, None
        # The grace is ours, not the user's: a mere tap must not count as a turn.
        return "commit" if self._sent_ms - RELEASE_GRACE_MS >= MIN_COMMIT_MS else "clear"
