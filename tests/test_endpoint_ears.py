"""Ears at a URL: recordings go there, words come back."""

import io
import json
import wave

import numpy as np
import pytest
from helpers_http import Answerer, HttpServer, models, refused, silent

from voicecli.engine.ears.endpoint_ears import EndpointEars
from voicecli.errors import ConnectionFailed, ModelError, NetworkStalled, NotAuthorized

SAMPLES = np.sin(np.arange(8000, dtype=np.float32) / 10)


def transcript(text: object) -> Answerer:
    return lambda handler: handler.whole(json.dumps({"text": text}).encode())


def server(answer: Answerer) -> HttpServer:
    return HttpServer(transcriptions=answer, models=models("whisper"))


def test_a_recording_is_sent_as_a_wav_file_and_its_words_come_back() -> None:
    with server(transcript(" Go forward. ")) as one:
        assert EndpointEars(one.url).transcribe(SAMPLES) == "Go forward."
    form = one.last("/v1/audio/transcriptions").form
    assert {name: form[name] for name in ("model", "response_format")} == {
        "model": b"whisper",
        "response_format": b"json",
    }
    assert "language" not in form
    with wave.open(io.BytesIO(form["file"])) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
        heard = np.frombuffer(wav.readframes(wav.getnframes()), "<i2") / 32767
    assert np.abs(heard - SAMPLES).max() < 1e-4


def test_the_language_and_the_model_are_passed_on() -> None:
    with server(transcript("Ja.")) as one:
        ears = EndpointEars(f"{one.url}/v1/audio/transcriptions", model="large")
        assert ears.transcribe(SAMPLES, language="de") == "Ja."
    form = one.last("transcriptions").form
    assert (form["language"], form["model"]) == (b"de", b"large")


def test_nothing_is_asked_about_no_sound() -> None:
    with server(transcript("You")) as one:
        assert EndpointEars(one.url).transcribe(SAMPLES[:0]) == ""
    assert one.asked == []


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (refused(500, "out of memory"), ModelError, "out of memory"),
        (refused(403, "no"), NotAuthorized, "refused the key"),
        (transcript(None), ModelError, "does not speak transcriptions"),
        (lambda handler: handler.whole(b"Go forward."), ModelError, "does not speak"),
        (lambda handler: handler.whole(b"{}"), ModelError, "does not speak"),
        (lambda handler: handler.whole(b'{"te', missing=9), ConnectionFailed, "broke off"),
        (
            lambda handler: handler.chunks([b'{"te'], "a/b", dies=True),
            ConnectionFailed,
            "broke off",
        ),
    ],
)
def test_a_server_that_fails_is_an_error_with_its_reason(
    answer: Answerer, error: type[Exception], words: str
) -> None:
    with server(answer) as one, pytest.raises(error, match=words):
        EndpointEars(one.url).transcribe(SAMPLES)


def test_a_server_that_says_nothing_has_stalled() -> None:
    with server(silent) as one, pytest.raises(NetworkStalled):
        EndpointEars(one.url, timeout_s=0.05).transcribe(SAMPLES)
