"""The error tree: what each says, and what a shell sees of it."""

import re

import pytest

from voicecli import errors
from voicecli.errors import VoicecliError

KINDS = {
    name: one
    for name, one in vars(errors).items()
    if isinstance(one, type) and issubclass(one, VoicecliError)
}


def test_the_tree_that_the_module_shows_is_the_tree_that_it_has():
    shown = dict(re.findall(r"[├└]─ (\w+) +(\d)", errors.__doc__))
    assert set(shown) == set(KINDS) - {"VoicecliError"}
    assert {name: int(code) for name, code in shown.items()} == {
        name: kind.exit_code for name, kind in KINDS.items() if name in shown
    }
    nested = re.findall(r"│ +[├└]─ (\w+)", errors.__doc__)
    assert {name for name, one in KINDS.items() if one.__base__ is errors.ConnectionFailed} == set(
        nested
    )


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_error_has_a_message_and_perhaps_a_hint(kind):
    assert (kind("fact").message, kind("fact").hint, str(kind("fact"))) == ("fact", "", "fact")
    assert kind("fact", "do this").hint == "do this"
    assert kind.exit_code not in (0, 130)
