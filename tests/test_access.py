"""The rules for who may connect."""

import pytest

from voicecli.engine.server.access import Doorkeeper, key_of


@pytest.mark.parametrize(
    ("authorization", "subprotocols", "key"),
    [
        ("Bearer abc", [], "abc"),
        ("bearer  abc ", [], "abc"),
        ("Basic abc", [], ""),
        ("abc", [], ""),
        (None, ["realtime", "openai-insecure-api-key.abc"], "abc"),
        ("Bearer abc", ["openai-insecure-api-key.def"], "abc"),
        ("Bearer ", ["openai-insecure-api-key.def"], "def"),
        (None, ["realtime"], ""),
    ],
)
def test_a_key_is_found_where_clients_put_it(
    authorization: str | None, subprotocols: list[str], key: str
) -> None:
    assert key_of(authorization, subprotocols) == key


def test_only_the_token_itself_is_admitted() -> None:
    keeper = Doorkeeper(token="right")
    assert keeper.admits_key("right")
    for wrong in ("", "righ", "right ", "Right", "rïght"):
        assert not keeper.admits_key(wrong)
    assert Doorkeeper().admits_key("")


@pytest.mark.parametrize(
    ("origin", "host", "admitted"),
    [
        (None, "localhost:8765", True),
        ("https://app.example", "localhost:8765", True),
        ("https://app.example:444", "localhost:8765", False),
        ("https://app.example.evil.example", "localhost:8765", False),
        ("null", "localhost:8765", False),
        ("http://localhost:3000", "localhost:8765", False),
        ("http://localhost:8765", "localhost:8765", True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://[::1]:8765", "[::1]:8765", True),
        ("http://192.168.0.2:8765", "192.168.0.2:8765", True),
        ("http://evil.example:8765", "evil.example:8765", False),
        ("file://127.0.0.1:8765", "127.0.0.1:8765", False),
        ("http://127.0.0.1:8765", None, False),
    ],
)
def test_a_page_is_admitted_when_it_was_allowed_or_cannot_be_one(
    origin: str | None, host: str | None, admitted: bool
) -> None:
    assert Doorkeeper(origins=["https://app.example"]).admits_page(origin, host) is admitted


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("localhost", True),
        ("LOCALHOST:8765", True),
        ("127.0.0.1:8765", True),
        ("[::1]:8765", True),
        ("[::1]", True),
        ("::1", True),
        (None, True),
        ("evil.example:8765", False),
        ("localhost.evil.example", False),
        ("localhost:8765@evil.example", False),
        ("", False),
    ],
)
def test_a_server_for_this_machine_answers_to_no_other_name(
    host: str | None, admitted: bool
) -> None:
    assert Doorkeeper(only_here=True).admits_host(host) is admitted
    assert Doorkeeper().admits_host(host)
