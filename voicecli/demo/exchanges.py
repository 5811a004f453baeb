"""Which exchange each step of a script stands in: what is said and heard from one act to the next.

`say`, `type`, `press` and `interrupt` are acts; a `say` while push to talk is held belongs to the
press. Steps before the first act are about the session and a greeting, if the server gives one.
"""

from __future__ import annotations

from collections.abc import Sequence

from voicecli.demo.steps import (
    Interrupt,
    Press,
    Release,
    Say,
    Speech,
    Step,
    Type,
    Verb,
)


def acts_of(steps: Sequence[Step]) -> list[int | None]:
    """For each step the place of the act that it stands behind, or that it is; None: before any."""
    found: list[int | None] = []
    act: int | None = None
    is_held = False
    for place, step in enumerate(steps):
        match step.verb:
            case Say() if is_held:
                pass
            case Say() | Type() | Press() | Interrupt():
                act = place
        is_held = is_held_after(step.verb, was_held=is_held)
        found.append(act)
    return found


def is_held_after(verb: Verb, *, was_held: bool) -> bool:
    """Whether push to talk is held when a step is over."""
    match verb:
        case Press("space", None):
            return True
        case Release():
            return False
    return was_held


def spoken_in(steps: Sequence[Step], act: int | None) -> str | None:
    """What the user says in an exchange, by the script; None: it is not known of all of it.

    Args:
        steps: of the script.
        act: the exchange's act; None: before the first one.
    """
    texts = []
    for step, its_act in zip(steps, acts_of(steps), strict=True):
        if its_act == act:
            text = _text_of(step.verb)
            if text is None:
                return None
            texts.append(text)
    return " ".join(text for text in texts if text)


def spoken_at_all(steps: Sequence[Step]) -> str | None:
    """What the user says in the whole script; None: it is not known of all of it."""
    texts = [_text_of(step.verb) for step in steps]
    return None if None in texts else " ".join(text for text in texts if text)


def _text_of(verb: Verb) -> str | None:
    """What is said in a step; empty: nothing. None: something that is not known."""
    match verb:
        case Say(speech):
            return _words_of(speech)
        case Press(_, speech):
            return "" if speech is None else _words_of(speech)
        case Type(text):
            return text
        case Interrupt(act):
            return _text_of(act)
    return ""


def _words_of(speech: Speech) -> str | None:
    return speech.text or None
