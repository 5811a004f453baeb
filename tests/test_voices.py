import array

import numpy as np
import pytest

from voicecli.engine.dialogue.session_fields import API_VOICES
from voicecli.engine.voices.voices import VOICES, HibariVoice, speakable


@pytest.fixture(scope="module")
def voice() -> HibariVoice:
    pytest.importorskip("hibari")
    return HibariVoice()


def test_a_sentence_is_spoken_at_the_pace_of_speech(voice: HibariVoice) -> None:
    pcm = b"".join(voice.speak("Hello there, how are you doing on this fine day?"))
    assert 2 < len(pcm) / 2 / 24_000 < 5
    assert 3000 < max(array.array("h", pcm)) <= 32767


def test_each_sentence_is_a_piece_and_the_rest_need_not_be_made(voice: HibariVoice) -> None:
    pieces = voice.speak("One sentence. Another one. And a third.")
    first = next(pieces)
    pieces.close()
    assert first == next(voice.speak("One sentence."))
    assert len(list(voice.speak("One sentence. Another one. And a third."))) == 3


def test_the_same_text_gives_the_same_bytes(voice: HibariVoice) -> None:
    assert list(voice.speak("Hello.")) == list(voice.speak("Hello."))


def test_speed_changes_the_length_within_bounds(voice: HibariVoice) -> None:
    def seconds(speed: float) -> float:
        text = "This is a sentence of some length."
        return sum(map(len, voice.speak(text, speed=speed))) / 48_000

    assert seconds(0.25) == seconds(0.5) > seconds(1.0) > seconds(2.0) == seconds(9.0)


@pytest.mark.parametrize("text", ["", " \n", "😀", "你好"])
def test_nothing_pronounceable_is_no_sound(voice: HibariVoice, text: str) -> None:
    assert list(voice.speak(text)) == []


def test_every_name_of_the_api_is_a_voice_of_its_own() -> None:
    assert set(VOICES) == {*API_VOICES, "heart"}
    pitches = [pitch for name, pitch in VOICES.items() if name != "heart"]
    assert len(set(pitches)) == len(pitches)


def pitch_hz(pcm: bytes) -> float:
    """The median fundamental frequency, by autocorrelation of the loud stretches."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    found = []
    for start in range(0, len(samples) - 1440, 720):
        part = samples[start : start + 1440]
        if np.abs(part).max() > 3000:
            spectrum = np.fft.rfft(part * np.hanning(len(part)), 4096)
            correlation = np.fft.irfft(np.abs(spectrum) ** 2)[60:240]  # 100 to 400 Hz
            found.append(24_000 / (60 + int(correlation.argmax())))
    return float(np.median(found))


@pytest.mark.parametrize("name", ["cedar", "ballad", "coral", "shimmer"])
def test_a_voice_has_its_pitch_and_the_pace_of_all(voice: HibariVoice, name: str) -> None:
    text = "We were away a year ago, and now we are home again."  # voiced throughout
    plain, high = (b"".join(voice.speak(text, voice=one)) for one in ("marin", name))
    assert high == b"".join(voice.speak(text, voice=name))
    assert pitch_hz(high) / pitch_hz(plain) == pytest.approx(VOICES[name], rel=0.07)
    assert len(high) / len(plain) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("See https://www.example.com/foo?x=1 now.", "See example dot com now."),
        ("Go to https://example.com.", "Go to example dot com."),
        ("me@example.org", "me at example dot org"),
        ("5 * 3 and 12*3", "5 times 3 and 12 times 3"),
        ("100 - 3", "100 minus 3"),
        ("10-20 people", "10-20 people"),
        ("**bold** _it_ `x`", "bold it x"),
        ("# Title\n- one", "Title\none"),
        ("[a link](http://x.y)", "a link"),
        ("| a | b |", "a, b"),
        ("~5 GHz", "about 5 gigahertz"),
        ("Great 😀 job", "Great job"),
        ("<b>hi</b>", "hi"),
        ("It is $5.20 or 50% at 10:30, i.e. 3.5.", "It is $5.20 or 50% at 10:30, i.e. 3.5."),
    ],
)
def test_text_is_made_speakable(written: str, said: str) -> None:
    assert speakable(written) == said


def test_the_first_sound_does_not_wait_for_silence(voice: HibariVoice) -> None:
    samples = np.frombuffer(b"".join(voice.speak("Hello there.")), dtype="<i2")
    first = int(np.flatnonzero(np.abs(samples) > 0.002 * 32767)[0])
    assert first <= 24 * 25
