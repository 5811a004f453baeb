from pathlib import Path

import pytest
from helpers_speech import clips, word_errors

from voicecli.engine.ears.ears import RATE_HZ, MoonshineEars
from voicecli.engine.store import ModelStore
from voicecli.errors import ModelError


@pytest.fixture(scope="module")
def ears() -> MoonshineEars:
    pytest.importorskip("onnxruntime")
    if not ModelStore().is_present("moonshine-tiny-en"):
        pytest.skip("no weights: voicecli models pull moonshine-tiny-en")
    return MoonshineEars(ModelStore().path("moonshine-tiny-en"))


def test_less_than_one_word_in_twenty_is_misheard(ears: MoonshineEars) -> None:
    results = [word_errors(clip.transcript, ears.transcribe(clip.samples())) for clip in clips()]
    errors, words = (sum(column) for column in zip(*results, strict=True))
    assert words > 90
    assert errors / words < 0.05


def test_silence_and_noise_are_no_words(ears: MoonshineEars) -> None:
    np = pytest.importorskip("numpy")
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype("f4") * 0.01
    assert ears.transcribe(np.zeros(RATE_HZ, "f4")) == ""
    assert ears.transcribe(noise) == ""


@pytest.mark.parametrize("samples", [0, 1, 400, 3000])
def test_a_moment_of_silence_is_no_words(ears: MoonshineEars, samples: int) -> None:
    np = pytest.importorskip("numpy")
    assert ears.transcribe(np.zeros(samples, "f4")) == ""


def test_speech_longer_than_the_model_likes_is_heard_whole(ears: MoonshineEars) -> None:
    np = pytest.importorskip("numpy")
    chosen = clips()
    pause = np.zeros(RATE_HZ // 2, "f4")
    sound = np.concatenate([part for clip in chosen for part in (clip.samples(), pause)])
    assert len(sound) > 40 * RATE_HZ
    errors, words = word_errors(
        " ".join(clip.transcript for clip in chosen), ears.transcribe(sound)
    )
    assert errors / words < 0.08


def test_missing_weights_are_an_error_with_a_remedy(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError) as caught:
        MoonshineEars(tmp_path)
    assert "voicecli models verify" in caught.value.hint


@pytest.mark.parametrize(
    ("expected", "heard", "errors"),
    [
        ("ten of clubs", "Ten of clubs.", 0),
        ("two nine three", "293", 0),
        ("mister smith", "Mr. Smith", 0),
        ("one two three", "one three", 1),
        ("one two", "one too two", 1),
        ("one two", "one too", 1),
        ("one", "", 1),
    ],
)
def test_word_errors_are_counted(expected: str, heard: str, errors: int) -> None:
    assert word_errors(expected, heard)[0] == errors
