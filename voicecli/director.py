"""Leads a scripted user through a conversation: an observer that speaks when his cue has come.

It sees every step of the session. With each frame of the microphone it looks where the conversation
is, and begins the next act in the frame in which its moment lies, to the sample. It never waits: a
cue that does not come is passed over after a time, which is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from voicecli import inputs
from voicecli.actions import Action, Finish
from voicecli.audio.pcm import FRAME_MS, SAMPLE_BYTES, samples_of_ms
from voicecli.audio.playback import Heard
from voicecli.conversation import Conversation
from voicecli.cues import AfterAnswer, AfterTurn, Aside, Cue, Do, Leave, Say, Scene
from voicecli.inputs import Input

PATIENCE_S: Final = 30.0
"How long an answer is waited for, if nobody says otherwise."

_FRAME_S: Final = FRAME_MS / 1000
_NOTHING_EXPECTED_S: Final = 2.0
"After a last act that is not to be answered: how long an answer may come all the same."


class Mouth(Protocol):
    """What a director needs of the microphone: `ScriptedMicrophone` has it."""

    def say(self, pcm: bytes, at: float | None = None) -> float: ...

    def finish(self) -> None: ...


@dataclass
class Played:
    """What became of a cue; times are on the session's clock."""

    cue: Cue
    began_at: float
    "When the voice began, or the key was pressed."
    due_at: float
    "When it was to; the same unless it came too late for that."
    ended_at: float = 0.0
    "When the voice ended."
    after_s: float = 0.0
    "When the act before had ended."
    came_without_cue: bool = False
    "The anchor was not reached in time."
    was_answered: bool | None = None
    "Whether an answer was heard; None while that is open."


class Director:
    """Plays cues in order, each after the end of the one before.

    Args:
        cues: the script.
        conversation: of the session; only read.
        microphone: says what is to be said.
        heard: the speaker's account of this moment.
        deliver_in: puts an input into the session so many seconds from now, never at once.
        opened_at: the session's beginning on the microphone's clock.
        patience_s: how long an answer is waited for.
        on_progress: called after each cue that was begun.
    """

    def __init__(
        self,
        cues: Sequence[Cue],
        *,
        conversation: Conversation,
        microphone: Mouth,
        heard: Callable[[], Sequence[Heard]],
        deliver_in: Callable[[float, Input], None],
        opened_at: float,
        patience_s: float = PATIENCE_S,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._cues = [*cues, _the_end(cues)]
        self._scene = Scene(conversation)
        self._microphone = microphone
        self._heard = heard
        self._deliver_in = deliver_in
        self._opened_at = opened_at
        self._patience_s = patience_s
        self._on_progress = on_progress
        self._acting: Played | None = None
        self._next = 0
        self._is_over = False
        self._left_at: float | None = None
        self.played: list[Played] = []
        "Every cue of the user's that was begun, the end left out."
        self.failure = ""
        "Why it gave up; empty if it did not."

    @property
    def is_through(self) -> bool:
        """Whether every cue was played, and the last answer waited for."""
        return self._left_at is not None

    # ------------------------------------------------------------------- as observer of the session

    def stepped(self, an_input: Input, at: float, actions: Sequence[Action]) -> None:
        self._scene.stepped(an_input, at, actions)
        if not isinstance(an_input, inputs.MicFrame) or self._is_over:
            return
        self._scene.look(self._heard())
        if self._left_at is not None:
            self._see_to_the_end(at, self._left_at)
        else:
            while self._frame_passed(at):
                pass

    def frames_lost(self, count: int, at: float) -> None:
        """Nothing: the network is not the director's."""

    def ended(self, at: float, finish: Finish, dropped_frames: int, underflows: int) -> None:
        self._note_answer()
        self._is_over = True

    # --------------------------------------------------------------------------- frame by frame

    def _frame_passed(self, at: float) -> bool:
        """Play the next cue if it is due; gives whether the one after it may be due as well."""
        if self._acting is not None and at >= self._acting.ended_at:
            self._scene.act_ended(self._acting.ended_at)
            self._acting = None
        if self._acting is not None:
            return False
        if self._scene.ready_at is None:
            self._wait_for_session(at)
            return False
        cue = self._cues[self._next]
        due_at = cue.anchor.due_at(self._scene)
        is_late = due_at is None and self._scene.idle_s > self._patience_s
        if is_late:
            due_at = at
        if due_at is None or due_at - _lead_s(cue) >= at + _FRAME_S:
            return False
        self._next += 1
        if isinstance(cue.act, Aside):
            cue.act.call()
            self._on_progress()
            return True
        self._note_answer()
        self._play(cue, due_at, is_late=is_late)
        return False

    def _wait_for_session(self, at: float) -> None:
        if at > self._patience_s:
            self.failure = "the server did not begin the session"
            self._is_over = True
            self._deliver_in(0.0, inputs.QuitPressed())

    def _see_to_the_end(self, at: float, left_at: float) -> None:
        """The talk ends by itself, unless the server leaves something open for ever."""
        if at - left_at > self._patience_s:
            self._is_over = True
            self._deliver_in(0.0, inputs.QuitPressed())

    def _play(self, cue: Cue, due_at: float, *, is_late: bool) -> None:
        at = self._scene.at
        if isinstance(cue.act, Leave):
            self._microphone.finish()
            self._left_at = at
            return
        played = Played(cue, max(at, due_at), due_at, came_without_cue=is_late)
        played.after_s = self._scene.turn_ended_at
        match cue.act:
            case Say():
                self._say(cue.act, played)
            case Do(an_input):
                played.ended_at = played.began_at
                self._deliver_in(max(0.0, due_at - at), an_input)
        self._acting = played
        self.played.append(played)
        self._scene.act_began()
        self._on_progress()

    def _say(self, act: Say, played: Played) -> None:
        """Place the sound so that its voice begins when it is due; a late one loses its lead."""
        at = self._scene.at
        pcm = act.pcm()
        skipped_s = min(act.lead_s, max(0.0, at - (played.due_at - act.lead_s)))
        begin_at = max(at, played.due_at - act.lead_s + skipped_s)
        if begin_at <= at:
            # With the next frame, however late the clock was: what is said lies the same each time.
            begin_at -= _FRAME_S / 2
        skipped = samples_of_ms(skipped_s * 1000) * SAMPLE_BYTES
        begins_at = self._microphone.say(pcm[skipped:], self._opened_at + begin_at)
        begins_at = round(begins_at - self._opened_at, 6)  # as the session's clock
        played.began_at = begins_at + act.lead_s - skipped_s
        played.ended_at = begins_at + act.voice_s - skipped_s
        if act.is_pushed:
            self._deliver_in(max(0.0, played.began_at - at), inputs.TalkPressed())
            self._deliver_in(max(0.0, played.ended_at - at), inputs.TalkReleased())

    def _note_answer(self) -> None:
        if self.played and self.played[-1].was_answered is None:
            self.played[-1].was_answered = self._scene.was_answered


def _lead_s(cue: Cue) -> float:
    return cue.act.lead_s if isinstance(cue.act, Say) else 0.0


def _the_end(cues: Sequence[Cue]) -> Cue:
    """The last cue of all: when the last answer has been heard."""
    if cues and not cues[-1].expects_answer:
        return Cue(AfterAnswer(patience_s=_NOTHING_EXPECTED_S), Leave(), expects_answer=False)
    return Cue(AfterAnswer() if cues else AfterTurn(0.0), Leave(), expects_answer=False)
