"""Keys, headers and tokens are taken out, and nothing else."""

from __future__ import annotations

import json

from voicecli.recording.secrets import Censor, without_secret_fields


def test_known_values_go_wherever_they_stand() -> None:
    censor = Censor(["sk-verysecret", 'with"quote', "short"])
    assert censor.clean(b'["the sk-verysecret, twice sk-verysecret"]') == (
        b'["the [removed], twice [removed]"]'
    )
    assert censor.clean(json.dumps(['with"quote']).encode()) == b'["[removed]"]'
    assert censor.clean(b"not json sk-verysecret") == b"not json [removed]"


def test_a_secret_within_a_longer_one_leaves_nothing_of_either() -> None:
    assert Censor(["abcdef", "abcdefghij"]).clean(b'"abcdefghij"') == b'"[removed]"'


def test_what_is_too_short_for_a_key_is_no_key() -> None:
    assert Censor(["a", ""]).clean(b'["a"]') == b'["a"]'


def test_secret_fields_go_by_their_name_at_any_depth() -> None:
    event = {
        "tools": [{"type": "mcp", "Authorization": "t", "headers": {"X-Key": "k"}}],
        "client_secret": {"value": "ek_1", "expires_at": 1},
        "tokens": 5,
        "password": "",
    }
    cleaned = json.loads(Censor().clean(json.dumps([0.5, "recv", event]).encode()))[2]
    assert cleaned == without_secret_fields(event)
    assert cleaned == {
        "tools": [{"type": "mcp", "Authorization": "[removed]", "headers": "[removed]"}],
        "client_secret": "[removed]",
        "tokens": 5,
        "password": "",
    }


def test_where_a_secret_ends_cannot_be_told_all_that_follows_goes() -> None:
    deep = b'{"type":"x","password":' + b"[" * 100_000 + b'"topsecret"' + b"]" * 100_000 + b"}"
    assert Censor().clean(deep) == b'{"type":"x","password":"[removed]"'
    assert Censor().clean(b'{"n":1e999,"headers":{"a":"topsecret"}}') == (
        b'{"n":1e999,"headers":"[removed]"'
    )


def test_words_about_secrets_are_no_secrets() -> None:
    text = b'{"transcript":"the password is \\"authorization\\": yes"}'
    assert Censor().clean(text) == text
