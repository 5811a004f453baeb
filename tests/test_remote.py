"""Requests to a server of OpenAI's HTTP API, whatever the request."""

import contextlib
from collections.abc import Callable

import pytest
from helpers_http import HttpServer, models, refused

from voicecli.engine.remote import RETRY_AFTER_S, Remote, read_json
from voicecli.errors import ConfigError, ConnectionFailed, ModelError, NotAuthorized


def remote(url: str, pause: Callable[[float], None] = lambda _: None) -> Remote:
    return Remote(
        url, "/things", speaks="things", model=None, key_variable="MY_KEY", timeout_s=5, pause=pause
    )


def ask(one: Remote) -> object:
    with contextlib.closing(one.line()) as line, one.mapped_errors():
        return read_json(one.post_json(line, {}, "application/json"))


def things(handler) -> None:
    handler.whole(b'{"a": 1}')


def test_connecting_is_tried_a_second_time() -> None:
    with HttpServer() as gone:
        port = gone.port
    with contextlib.ExitStack() as stack:
        waits = []

        def pause(seconds: float) -> None:
            waits.append(seconds)
            stack.enter_context(HttpServer(port, things=things))

        assert ask(remote(gone.url, pause)) == {"a": 1}
    assert waits == [RETRY_AFTER_S]


def test_connecting_is_not_tried_a_third_time() -> None:
    with HttpServer() as gone:
        pass
    waits: list[float] = []
    with pytest.raises(ConnectionFailed):
        ask(remote(gone.url, waits.append))
    assert len(waits) == 1


def test_a_request_that_was_sent_is_not_sent_again() -> None:
    def hangs_up(handler) -> None:
        handler.close_connection = True

    for answer in (refused(500, "no"), hangs_up):
        with HttpServer(things=answer) as server:
            with pytest.raises((ModelError, ConnectionFailed)):
                ask(remote(server.url))
            assert len(server.asked) == 1


def test_the_model_is_asked_for_once() -> None:
    with HttpServer(models=models("first", "second")) as server:
        one = remote(server.url)
        assert [one.model(), one.model(), one.name] == ["first", "first", "first at 127.0.0.1"]
        assert len(server.asked) == 1


def test_a_server_without_models_is_an_error() -> None:
    with HttpServer(models=models()) as server, pytest.raises(ModelError, match="lists no model"):
        remote(server.url).model()


def test_the_key_comes_from_the_environment_and_is_in_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    with HttpServer(things=refused(401, "no")) as server, pytest.raises(NotAuthorized) as caught:
        ask(remote(server.url))
    assert server.asked[0].key == "Bearer sk-secret"
    assert "sk-secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("url", ["http://", "ftp://host", "http://[", "http://host:99999"])
def test_what_is_no_url_of_a_server_is_a_mistake_in_the_settings(url: str) -> None:
    with pytest.raises(ConfigError, match="not the URL of a server"):
        remote(url)


def test_the_secrets_in_what_is_no_url_are_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        remote("http://user:hidden@host:0/v1?key=hidden")
    assert caught.value.message == "not the URL of a server: 'http://host:0/v1'"
