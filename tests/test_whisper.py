"""Ears for other languages. All human speech at hand is English, so that is what they are given."""

from pathlib import Path

import pytest
from helpers_speech import clips, word_errors

np = pytest.importorskip("numpy")

from voicecli.engine.ears.ears import EarsByLanguage, MoonshineEars, load_ears  # noqa: E402
from voicecli.engine.ears.whisper import MODEL, WhisperEars  # noqa: E402
from voicecli.engine.store import ModelStore  # noqa: E402
from voicecli.errors import LanguageNotHeard, ModelError  # noqa: E402

RATE_HZ = 16_000
EXACT = ("goforward.wav", "forever_2.wav", "librivox_sense_0880.wav")


@pytest.fixture(scope="module")
def ears() -> WhisperEars:
    pytest.importorskip("ctranslate2")
    if not ModelStore().is_present(MODEL):
        pytest.skip(f"no weights: voicecli models pull {MODEL}")
    return WhisperEars(ModelStore().path(MODEL))


@pytest.mark.parametrize("language", ["en", ""])
def test_speech_is_understood_with_or_without_its_language_named(
    ears: WhisperEars, language: str
) -> None:
    for clip in clips():
        if clip.name in EXACT:
            heard = ears.transcribe(clip.samples(), language=language)
            assert word_errors(clip.transcript, heard)[0] <= 1, heard


def test_the_language_named_is_the_one_that_is_written(ears: WhisperEars) -> None:
    (clip,) = [one for one in clips() if one.name == "jfk.wav"]
    french = ears.transcribe(clip.samples(), language="fr").lower()
    assert "votre pays" in french
    assert "é" in french or "è" in french or "ê" in french or "à" in french


def test_a_language_that_whisper_does_not_know_is_refused(ears: WhisperEars) -> None:
    with pytest.raises(LanguageNotHeard, match="'xx'"):
        ears.transcribe(np.zeros(RATE_HZ, "f4"), language="xx")


def test_silence_and_noise_are_no_words(ears: WhisperEars) -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype("f4") * 0.01
    for samples in (np.zeros(0, "f4"), np.zeros(RATE_HZ, "f4"), noise):
        assert ears.transcribe(samples, language="de") == ""


def test_missing_weights_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    with pytest.raises(ModelError) as caught:
        WhisperEars(tmp_path / MODEL)
    assert f"voicecli models verify {MODEL}" in caught.value.hint


def test_the_server_hears_other_languages_when_the_weights_are_there(ears: WhisperEars) -> None:
    if not ModelStore().is_present("moonshine-tiny-en"):
        pytest.skip("no weights: voicecli models pull moonshine-tiny-en")
    assert isinstance(load_ears(ModelStore()), EarsByLanguage)


def test_moonshine_says_that_it_hears_english_only() -> None:
    if not ModelStore().is_present("moonshine-tiny-en"):
        pytest.skip("no weights: voicecli models pull moonshine-tiny-en")
    ears = MoonshineEars(ModelStore().path("moonshine-tiny-en"))
    with pytest.raises(LanguageNotHeard) as caught:
        ears.transcribe(np.zeros(RATE_HZ, "f4"), language="de")
    assert f"voicecli models pull {MODEL}" in caught.value.hint
