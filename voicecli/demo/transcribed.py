"""A recording turned into a script: its user says and does the same again, at the same moments.

The moments are those of `recording.turns`: told by what was heard, not by the clock. What is
expected is a few of the words that were heard then; whoever wants more, or less, edits the script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from voicecli import inputs
from voicecli.cues import AfterAnswer, AfterStart, AfterTurn, IntoAnswer
from voicecli.demo.settings import is_ours
from voicecli.demo.steps import Place, RecordedSpeech, Say, Script, Step
from voicecli.demo.variables import USE
from voicecli.demo.witness import Acted, Exchange, Witness
from voicecli.demo.words import words_of
from voicecli.recording.fold import Fold, Source
from voicecli.recording.format import Header
from voicecli.recording.rerun.turns import Turn, User, user_of

_FEW_WORDS: Final = 4
"So many of what was heard are expected again."

_NOTICED_EARLY_S: Final = 0.3
"A server may notice the user's voice so much earlier than we do."

_SHORTEST_PAUSE_S: Final = 0.1
"A shorter one is not worth a step."

_OF_THE_SERVER: Final = ("voice", "instructions", "language")
"Settings that are taken from what the server was asked for: no file has to be there for them."

_LEFT_OUT: Final = ("server", "model", "tools", "talk.linger_s", "talk.max_minutes")
"Told otherwise, or no matter of the conversation."

_LONELY: Final = re.compile("[\ud800-\udfff]")


def spoken_turns(user: User) -> list[Turn]:
    """The turns that `RecordedSpeech.turn` counts, from 1: those in which something was spoken."""
    return [turn for turn in user.turns if turn.kind in ("spoken", "pushed")]


def script_of(recording: Source, name: str, usual: Mapping[str, object]) -> str:
    """The text of a script in which the user of a recording says and does the same again.

    Args:
        recording: read from its beginning, twice.
        name: how the script names the recording.
        usual: the value that each key of the configuration has by itself; what is like that is
            left out, and so are keys that are not here.

    Raises:
        RecordingError: the recording is damaged, or the user's audio was not kept.
    """
    user = user_of(recording)
    exchanges, errors = _exchanges(recording, user)
    lines = [f"# Made of the recording {_comment(name)}.", ""]
    lines += ["[demo]", f"title = {_text(f'After the recording {name}')}", ""]
    lines += _session(recording.header, user, usual)
    lines += _steps(user, exchanges, name)
    if not errors:
        lines += ["[expect]", "no_errors = true", ""]
    return "\n".join(lines)


def _exchanges(recording: Source, user: User) -> tuple[list[Exchange], Sequence[str]]:
    """What came of each turn, and what went wrong."""
    witness = Witness()
    for step in Fold(recording).steps(audio=False):
        witness.stepped(step.an_input, step.at, step.actions)
    place = Place("", 1)
    steps = tuple(Step(place, Say(RecordedSpeech("", 1))) for _ in user.turns)
    acted = []
    ended_at = 0.0
    for number, turn in enumerate(user.turns):
        early_s = _NOTICED_EARLY_S if turn.kind == "spoken" else 0.0
        acted.append(Acted(number, max(ended_at, turn.begins_at - early_s), turn.ends_at))
        ended_at = turn.ends_at
    facts = witness.facts(Script(source="", steps=steps), acted)
    return [facts.exchange(number) for number in range(len(steps))], facts.whole.errors


# ------------------------------------------------------------------------------------- the session


def _session(header: Header, user: User, usual: Mapping[str, object]) -> Iterator[str]:
    """The settings that are not as usual."""
    config, settings = header.config, header.settings
    values: dict[str, Any] = {"server": header.server, "model": header.model}
    values |= {key: settings.get(key) for key in _OF_THE_SERVER}
    told = config or _from_settings(settings)
    values |= {
        key: value
        for key, value in told.items()
        if key in usual and is_ours(key) and key not in (*_LEFT_OUT, *_OF_THE_SERVER)
    }
    if any(turn.kind == "pushed" for turn in user.turns):
        values["vad.mode"] = "none"
    yield "[session]"
    for key, value in values.items():
        if value not in (None, "") and value != usual.get(key) and _matters(key, values):
            yield f"{key} = {_value(value)}"
    tools = config.get("tools")
    if tools:
        yield f"# The model could call the functions in {_comment(str(tools))}:"
        yield f"# tools = {_text(str(tools))}"
    yield ""


def _matters(key: str, values: Mapping[str, Any]) -> bool:
    """Whether a setting is of any effect beside the others."""
    room, _, name = key.partition(".")
    match room, name:
        case "vad" | "barge_in", "mode":
            return True
        case "vad", "eagerness":
            return bool(values.get("vad.mode") == "semantic")
        case "vad", _:
            return bool(values.get("vad.mode") == "server")
        case "barge_in", _:
            return bool(values.get("barge_in.mode") == "local")
        case "local", _:
            return bool(values.get("server") == "local")
    return True


def _from_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of a recording that tells no configuration: from what the server was asked for."""
    detection = settings.get("turn_detection")
    values: dict[str, Any] = {
        "audio.input_format": settings.get("input_format"),
        "audio.output_format": settings.get("output_format"),
        "audio.noise_reduction": settings.get("noise_reduction"),
        "vad.mode": "none",
    }
    if isinstance(detection, dict):
        is_semantic = detection.get("type") == "semantic_vad"
        values["vad.mode"] = "semantic" if is_semantic else "server"
        values["vad.eagerness"] = detection.get("eagerness")
        values["vad.threshold"] = detection.get("threshold")
        values["vad.prefix_ms"] = detection.get("prefix_padding_ms")
        values["vad.silence_ms"] = detection.get("silence_duration_ms")
    return values


# --------------------------------------------------------------------------------------- the steps


def _steps(user: User, exchanges: Sequence[Exchange], name: str) -> Iterator[str]:
    spoken = 0
    before: Exchange | None = None
    has_acted = is_muted = was_stopped = False
    for turn, exchange in zip(user.turns, exchanges, strict=True):
        spoken += turn.kind in ("spoken", "pushed")
        is_muted ^= isinstance(turn.an_input, inputs.MuteToggled)
        said = exchange.words("user")
        speech = [f"recording = {_text(name)}", f"turn = {spoken}"]
        if said:
            speech.append(f"text = {_text(said)}")
        act = _act(turn, speech, is_muted=is_muted)
        yield from _moment_and_act(turn, act, before, has_acted=has_acted, was_stopped=was_stopped)
        if not isinstance(turn.an_input, inputs.MuteToggled):
            has_acted, was_stopped = True, isinstance(turn.an_input, inputs.InterruptPressed)
        before = exchange
    yield from _heard(before, is_cut=False)


def _moment_and_act(
    turn: Turn,
    act: Sequence[str],
    before: Exchange | None,
    *,
    has_acted: bool,
    was_stopped: bool,
) -> Iterator[str]:
    is_key = isinstance(turn.an_input, inputs.MuteToggled)
    if isinstance(turn.anchor, IntoAnswer):
        # What is expected of an answer that is cut off stands before that.
        yield from _heard(before, is_cut=turn.cut_heard_s is not None)
        if is_key or not has_acted:
            yield from _step(['wait = "speaking"'])
            yield from _step(act)
            return
        heard_ms = round(turn.anchor.heard_s * 1000)
        yield from _step(
            [*(f"interrupt.{line}" for line in act), f"interrupt.heard_ms = {heard_ms}"]
        )
        if turn.cut_heard_s is not None:
            yield from _step(["expect.interrupted = true"])
        return
    yield from _waits(turn, has_acted=has_acted, was_stopped=was_stopped)
    yield from _heard(before, is_cut=False)
    yield from _step(act)


def _waits(turn: Turn, *, has_acted: bool, was_stopped: bool) -> Iterator[str]:
    match turn.anchor:
        case AfterAnswer(pause_s, None) if was_stopped:
            # The key that interrupts is not answered: the pause began when it was pressed.
            pass
        case AfterAnswer(pause_s, None):
            if has_acted:
                yield from _step(['wait = "answer"'])
            else:
                yield from _step(['wait = "speaking"'])
                yield from _step(['wait = "listening"'])
        case AfterAnswer(_, float(pause_s)) | AfterStart(pause_s) | AfterTurn(pause_s):
            pass
        case _:
            return
    if pause_s >= _SHORTEST_PAUSE_S:
        yield from _step([f"wait.seconds = {pause_s:.2f}"])


def _act(turn: Turn, speech: Sequence[str], *, is_muted: bool) -> list[str]:
    match turn.an_input:
        case inputs.TextTyped(text):
            return [f"type = {_text(text)}"]
        case inputs.InterruptPressed():
            return ['press = "esc"']
        case inputs.MuteToggled():
            return [f"mute = {_value(is_muted)}"]
    verb = "press.say" if turn.kind == "pushed" else "say"
    return [f"{verb}.{line}" for line in speech]


def _heard(exchange: Exchange | None, *, is_cut: bool) -> Iterator[str]:
    """What was heard, as a comment, and the beginning of it as an expectation."""
    if exchange is None:
        return
    text = exchange.words("heard")
    words = words_of(text)
    if is_cut:
        # How many words were heard before a cut is an estimate.
        words = words[:-1]
    if words:
        yield f"# Heard: {_comment(text)}"
        yield from _step([f"expect.heard.contains = {_text(' '.join(words[:_FEW_WORDS]))}"])


def _step(lines: Sequence[str]) -> Iterator[str]:
    yield "[[step]]"
    yield from lines
    yield ""


# ----------------------------------------------------------------------------------------- as TOML


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else _text(str(value))


def _text(text: str) -> str:
    """A text in quotes; what looks like a variable is none."""
    plain = USE.sub(lambda found: f"{{{found[0]}}}", _LONELY.sub("\ufffd", text))
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    """A text on one line, without what TOML has not in comments."""
    flat = " ".join(_LONELY.sub("\ufffd", text).split())
    return "".join(sign for sign in flat if sign.isprintable())
