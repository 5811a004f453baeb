"""Steps as a script writes them: tables made into verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, get_args

from voicecli.demo.expecting import expected_by
from voicecli.demo.settings import SettingsCheck, flat, read_changes
from voicecli.demo.steps import (
    PATIENCE_S,
    AfterMs,
    AtWord,
    Expect,
    ForSeconds,
    HeardMs,
    Interrupt,
    Key,
    Moment,
    Mute,
    Noise,
    NoiseKind,
    Note,
    Press,
    RecordedSpeech,
    Release,
    Say,
    Set,
    Speech,
    State,
    Step,
    Type,
    Until,
    UntilAnswered,
    UntilCalled,
    UntilSaid,
    UntilState,
    Verb,
    Wait,
    WavSpeech,
    Words,
)
from voicecli.demo.tables import Node, listed, nearest, shortened, shown_value
from voicecli.demo.words import words_of

_MOST_S: Final = 3600
_MOST_MS: Final = 600_000
_MOST: Final = 1000
_MOST_SPOKEN: Final = 4000
"Characters: four minutes. What a sentence costs to make grows faster than the sentence."
_STATES: Final[tuple[State, ...]] = get_args(State)
_KEYS: Final[tuple[Key, ...]] = get_args(Key)
_NOISES: Final[tuple[NoiseKind, ...]] = get_args(NoiseKind)
_SNR_DB: Final = 20.0
_COUGH_SNR_DB: Final = 0.0


class Files(Protocol):
    """Where the files are that a script names."""

    def beside(self, name: str, source: str) -> str:
        """The path of a file that is named in the script `source`."""

    def exists(self, path: str) -> bool: ...


@dataclass(frozen=True)
class World:
    """What reading a step needs beside its table."""

    files: Files
    check: SettingsCheck
    voices: tuple[str, ...] = ()
    "Names of the local voices; empty: not known, any will do."


def step_of(node: Node, world: World) -> Step:
    """One table `[[step]]`.

    Raises:
        ConfigError: it has no verb or two, or its verb is used wrongly.
    """
    if not node.is_table:
        node.table()
    for one in node:
        if one.name not in _VERBS:
            near = nearest(one.name, _VERBS)
            raise one.wrong(f"is no verb{'; ' if near else ''}{near}", _ALLOWED)
    named = list(node)
    if not named:
        raise node.wrong("does nothing", _ALLOWED)
    if len(named) > 1:
        names = listed([one.name for one in named], "and")
        raise named[1].wrong(
            f"a step has one verb, and this has {names}",
            "begin another [[step]], or put it inside: interrupt.say = …",
        )
    (verb,) = named
    return Step(verb.place, _VERBS[verb.name](verb, world), _told(verb))


def _told(node: Node) -> str:
    """A step in one line, for lists of results."""
    if not node.value or not node.is_table:
        return f"{node.name} {shown_value(node.value)}"
    inner = (
        f"{' '.join(map(str, one.path[len(node.path) :]))} {shown_value(one.value)}"
        for one in flat(node)
    )
    return f"{node.name} {', '.join(inner)}"


# --------------------------------------------------------------------------------- what is said


def read_wav(node: Node, world: World) -> str:
    """The path of a WAV file that is there."""
    path = world.files.beside(node.text(), node.file.source)
    if not world.files.exists(path):
        raise node.wrong(f"there is no file {node.value!r}", "it is looked for beside the script")
    return path


def read_voice(node: Node, world: World) -> str:
    """The name of a local voice."""
    return node.word(world.voices) if world.voices else node.text()


def _speech(node: Node, world: World) -> Speech:
    if not node.is_table:
        return Words(_for_the_voice(node))
    node.table("text", "voice", "wav", "recording", "turn")
    source = node.one_of([key for key in ("wav", "recording") if key in node] or ["text"], _SILENT)
    if "voice" in node and source.name != "text":
        raise node["voice"].wrong("is for what the local voice speaks, not for a recorded one")
    if "turn" in node and source.name != "recording":
        raise node["turn"].wrong("is of a recording, and none is named")
    text = _speakable(node["text"]) if "text" in node else ""
    match source.name:
        case "wav":
            return WavSpeech(read_wav(source, world), text)
        case "recording":
            if "turn" not in node:
                raise node.wrong("does not tell which turn of the recording", "give it: turn = 1")
            return RecordedSpeech(source.text(), node["turn"].whole(1, _MOST), text)
    _for_the_voice(node["text"])
    return Words(text, read_voice(node["voice"], world) if "voice" in node else "")


_SILENT: Final = "says nothing: it has a text, a wav or a recording"


def _speakable(node: Node) -> str:
    text = node.text()
    if not words_of(text):
        raise node.wrong(f"there is nothing to speak in {shortened(text)}")
    return text


def _for_the_voice(node: Node) -> str:
    """What the local voice is to speak: not so much that making it takes longer than hearing it."""
    text = _speakable(node)
    if len(text) > _MOST_SPOKEN:
        raise node.wrong(
            f"is {len(text)} characters long, and the local voice takes {_MOST_SPOKEN}",
            "say it in more than one step",
        )
    return text


def _say(node: Node, world: World) -> Say:
    return Say(_speech(node, world))


def _type(node: Node, _: World) -> Type:
    return Type(node.text())


# ------------------------------------------------------------------------------------- the keys


def _press(node: Node, world: World) -> Press:
    if not node.is_table:
        key: Key = "esc" if node.word(_KEYS) == "esc" else "space"
        return Press(key)
    node.table("say")
    if "say" not in node:
        raise node.wrong("presses nothing", 'it is "space", "esc", or { say = … }')
    return Press("space", _speech(node["say"], world))


def _release(node: Node, _: World) -> Release:
    node.word(["space"])
    return Release()


def _mute(node: Node, _: World) -> Mute:
    return Mute(node.flag())


# ------------------------------------------------------------------------------------ the moments


def _interrupt(node: Node, world: World) -> Interrupt:
    node.table("say", "type", "press", *_MOMENTS, "occurrence", "timeout_s")
    act = node.one_of(("say", "type", "press"), "says nothing")
    at = node.one_of(_MOMENTS, "does not tell when")
    if "occurrence" in node and at.name != "at_word":
        raise node["occurrence"].wrong("is of a word, and at_word is not there")
    made: Say | Type | Press
    match act.name:
        case "say":
            made = _say(act, world)
        case "type":
            made = _type(act, world)
        case _:
            made = _press(act, world)
            if made == Press("space"):
                raise act.wrong('push to talk needs something to say: press.say = "…"')
    return Interrupt(made, _moment(at, node), _timeout(node))


_MOMENTS: Final = ("at_word", "heard_ms", "after_ms")


def _moment(at: Node, node: Node) -> Moment:
    match at.name:
        case "at_word":
            times = node["occurrence"].whole(1, _MOST) if "occurrence" in node else 1
            return AtWord(_speakable(at), times)
        case "heard_ms":
            return HeardMs(at.number(0, _MOST_MS, "milliseconds"))
    return AfterMs(at.number(0, _MOST_MS, "milliseconds"))


def _timeout(node: Node) -> float:
    if "timeout_s" not in node:
        return PATIENCE_S
    return node["timeout_s"].number(0.1, _MOST_S, "seconds")


def _wait(node: Node, _: World) -> Wait:
    if not node.is_table:
        if isinstance(node.value, int | float) and not isinstance(node.value, bool):
            raise node.wrong(
                f"{node.value} has no unit", f"say of what: wait.seconds = {node.value}"
            )
        return Wait(_until_word(node))
    node.table("until", "seconds", "said", "by", "tool", "timeout_s")
    what = node.one_of(("until", "seconds", "said", "tool"), "does not tell for what")
    if "by" in node and what.name != "said":
        raise node["by"].wrong("tells whose words are meant, and none are looked for: said = …")
    if what.name == "seconds":
        if "timeout_s" in node:
            raise node["timeout_s"].wrong("means nothing where a time is waited for")
        return Wait(ForSeconds(what.number(0, _MOST_S, "seconds")))
    return Wait(_until(what, node), _timeout(node))


def _until(what: Node, node: Node) -> Until:
    match what.name:
        case "said":
            whose = node["by"].word(("assistant", "user")) if "by" in node else "assistant"
            return UntilSaid(what.regex(), "user" if whose == "user" else "assistant")
        case "tool":
            return UntilCalled(what.text())
    return _until_word(what)


def _until_word(node: Node) -> Until:
    word = node.word(("answer", *_STATES))
    for state in _STATES:
        if word == state:
            return UntilState(state)
    return UntilAnswered()


# -------------------------------------------------------------------------------------- the rest


def _noise(node: Node, world: World) -> Noise:
    if not node.is_table:
        return Noise("off") if node.value == "off" else _generated(node, node)
    node.table("kind", "wav", "snr_db", "once")
    what = node.one_of(("kind", "wav"), "does not tell what is to be heard")
    if what.name == "kind":
        return _generated(what, node)
    once = "once" in node and node["once"].flag()
    return Noise("wav", _snr(node, _SNR_DB), read_wav(what, world), once)


def _generated(kind: Node, node: Node) -> Noise:
    word = kind.word(("off", *_NOISES) if kind is node else _NOISES)
    for known in _NOISES:
        if word == known:
            is_cough = known == "cough"
            if "once" in node and node["once"].flag() != is_cough:
                raise node["once"].wrong("a cough is heard once, other noise goes on")
            return Noise(known, _snr(node, _COUGH_SNR_DB if is_cough else _SNR_DB), once=is_cough)
    return Noise("off")


def _snr(node: Node, usual: float) -> float:
    return node["snr_db"].number(-40, 80, "dB") if "snr_db" in node else usual


def _set(node: Node, world: World) -> Set:
    return Set(read_changes(node, world.check))


def _note(node: Node, _: World) -> Note:
    return Note(node.text())


def _expect(node: Node, _: World) -> Expect:
    return expected_by(node)


_Verb: TypeAlias = Callable[[Node, World], Verb]

_VERBS: Final[dict[str, _Verb]] = {
    "say": _say,
    "type": _type,
    "wait": _wait,
    "interrupt": _interrupt,
    "press": _press,
    "release": _release,
    "mute": _mute,
    "noise": _noise,
    "set": _set,
    "note": _note,
    "expect": _expect,
}
_ALLOWED: Final = f"a step has one of {listed(list(_VERBS))}"
