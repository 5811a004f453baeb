"""A voice at a URL: sentences go there, PCM comes back while it is made."""

import pytest
from helpers_http import Answerer, Handler, HttpServer, models, refused, silent

from voicecli.engine.voices.endpoint_voice import EndpointVoice
from voicecli.errors import ConnectionFailed, ModelError, NetworkStalled

PCM = bytes(range(250)) * 100


def server(answer: Answerer) -> HttpServer:
    return HttpServer(speech=answer, models=models("kokoro"))


def whole(handler: Handler) -> None:
    handler.whole(PCM, "audio/pcm")


def test_a_sentence_is_sent_and_its_sound_comes_back() -> None:
    with server(whole) as one:
        pieces = list(EndpointVoice(one.url).speak("Hello.", speed=1.2, voice="marin"))
    assert b"".join(pieces) == PCM
    assert one.last("/v1/audio/speech").json == {
        "model": "kokoro",
        "input": "Hello.",
        "voice": "marin",
        "response_format": "pcm",
        "speed": 1.2,
    }


def test_the_servers_own_voice_may_be_named() -> None:
    with server(whole) as one:
        list(EndpointVoice(one.url, model="m", voice="af_heart").speak("Hi.", voice="marin"))
    assert one.asked[0].json["voice"] == "af_heart"


def test_sound_is_given_as_it_comes_in_whole_samples() -> None:
    def slow(handler: Handler) -> None:
        def pieces():
            yield PCM[:5001]
            handler.owner.gate.wait(10)
            yield PCM[5001:5002]
            yield PCM[5002:]

        handler.chunks(pieces(), "audio/pcm")

    with server(slow) as one:
        spoken = EndpointVoice(one.url).speak("Hello.")
        first = next(spoken)
        assert first == PCM[:5000]
        one.gate.set()
        rest = list(spoken)
    assert all(len(piece) % 2 == 0 for piece in rest)
    assert first + b"".join(rest) == PCM


def test_a_reader_may_leave_early() -> None:
    with server(lambda handler: handler.chunks([PCM] * 1000, "audio/pcm")) as one:
        spoken = EndpointVoice(one.url).speak("Hello.")
        next(spoken)
        spoken.close()


def test_nothing_is_asked_about_no_words() -> None:
    with server(whole) as one:
        assert list(EndpointVoice(one.url).speak(" ")) == []
    assert one.asked == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refused(500, "out of memory"), ModelError, "out of memory"),
        (lambda handler: handler.whole(b"{}"), ModelError, "no sound"),
        (lambda handler: handler.whole(b"<html>", "text/html"), ModelError, "no sound"),
        (lambda handler: handler.whole(b"RIFF" + PCM, "audio/wav"), ModelError, "a sound file"),
        (lambda handler: handler.whole(b"ID3", "audio/mpeg"), ModelError, "a sound file"),
        (lambda handler: handler.whole(PCM, "a/b", missing=2), ConnectionFailed, "broke off"),
        (lambda handler: handler.chunks([PCM], "a/b", dies=True), ConnectionFailed, "broke off"),
    ],
)
def test_a_server_that_fails_is_an_error_with_its_reason(
    answer: Answerer, error: type[Exception], words: str
) -> None:
    with server(answer) as one, pytest.raises(error, match=words):
        list(EndpointVoice(one.url).speak("Hello."))


def test_a_server_that_says_nothing_has_stalled() -> None:
    with server(silent) as one, pytest.raises(NetworkStalled):
        list(EndpointVoice(one.url, timeout_s=0.05).speak("Hello."))
