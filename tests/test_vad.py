from pathlib import Path

import numpy as np
import pytest

from voicecli.audio.pcm import level_dbfs
from voicecli.audio.resample import convert
from voicecli.audio.vad import (
    HissFrames,
    SpeechDetector,
    SpeechStarted,
    SpeechStopped,
    VoiceFrames,
)
from voicecli.audio.wav import decode_wav

SPEECH = Path(__file__).parent / "data" / "speech"
CLIPS = sorted(path.stem for path in SPEECH.glob("*.wav"))
WITH_LONG_PAUSES = {"jfk", "cards_005"}
LEAD_MS = 1000


def clip(name, rate_hz=16_000):
    sound = decode_wav((SPEECH / f"{name}.wav").read_bytes())
    return np.frombuffer(convert(sound.pcm, sound.rate_hz, rate_hz), "<i2").astype(float)


def silence(ms, rate_hz=16_000):
    return np.zeros(ms * rate_hz // 1000)


def noise(count, dbfs, seed=1):
    return np.random.default_rng(seed).normal(0, 32768 * 10 ** (dbfs / 20), count)


def framed(samples, rate_hz=16_000):
    size = rate_hz // 50
    pcm = np.clip(samples, -32768, 32767).astype("<i2")
    return [pcm[k : k + size].tobytes() for k in range(0, len(pcm) - size + 1, size)]


def heard_in(samples, rate_hz=16_000, **settings):
    """The events, each with the audio time at which it was known."""
    detector = SpeechDetector(rate_hz, **settings)
    events = []
    for number, frame in enumerate(framed(samples, rate_hz), 1):
        event = detector.push(frame)
        if event is not None:
            events.append((number * 20, event))
    return events


def voiced_span_ms(samples, rate_hz=16_000):
    """First and last sound within 26 dB of the loud parts of a clip and above its own noise."""
    frames = samples[: len(samples) // (rate_hz // 50) * (rate_hz // 50)].reshape(-1, rate_hz // 50)
    levels = 10 * np.log10((frames**2).mean(axis=1) + 1)
    loud = levels > max(np.percentile(levels, 95) - 26, np.percentile(levels, 3) + 6)
    steady = np.flatnonzero(loud[1:] & loud[:-1])
    return int(steady[0]) * 20, int(steady[-1] + 2) * 20


def in_silence(samples, rate_hz=16_000):
    return np.concatenate([silence(LEAD_MS, rate_hz), samples, silence(1500, rate_hz)])


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_one_turn(name, rate_hz):
    events = heard_in(in_silence(clip(name, rate_hz), rate_hz), rate_hz, silence_duration_ms=700)
    kinds = [type(event) for _, event in events]
    assert kinds[:2] == [SpeechStarted, SpeechStopped]
    if name not in WITH_LONG_PAUSES:
        assert len(kinds) == 2


@pytest.mark.parametrize("name", CLIPS)
def test_a_turn_ends_soon_after_its_last_sound(name):
    samples = clip(name)
    _, last_ms = voiced_span_ms(samples)
    known_ms, stopped = heard_in(in_silence(samples), silence_duration_ms=700)[-1]
    assert known_ms == stopped.audio_end_ms
    assert known_ms - LEAD_MS - 700 - last_ms <= 60


@pytest.mark.parametrize("name", CLIPS)
def test_a_turn_begins_within_a_tenth_of_a_second(name):
    samples = clip(name)
    first_ms, _ = voiced_span_ms(samples)
    known_ms, _ = heard_in(in_silence(samples))[0]
    assert known_ms - LEAD_MS - first_ms <= 100


@pytest.mark.parametrize("name", CLIPS)
def test_noise_at_twenty_decibels_ends_the_turn_all_the_same(name):
    samples = clip(name)
    _, last_ms = voiced_span_ms(samples)
    noisy = in_silence(samples)
    rms = np.sqrt((samples**2).mean())
    noisy += np.random.default_rng(1).normal(0, rms / 10, len(noisy))
    events = heard_in(noisy, silence_duration_ms=700)
    assert isinstance(events[0][1], SpeechStarted)
    assert events[0][0] > LEAD_MS
    assert isinstance(events[-1][1], SpeechStopped)
    assert events[-1][0] - LEAD_MS - 700 - last_ms <= 60


def test_a_shorter_silence_splits_at_the_pauses():
    events = heard_in(in_silence(clip("cards_005")), silence_duration_ms=60)
    assert len(events) > 2


def test_the_start_is_less_the_padding_and_the_end_includes_the_silence():
    voice = in_silence(clip("forever_2"))
    bare = heard_in(voice, prefix_padding_ms=0, silence_duration_ms=500)
    padded = heard_in(voice, prefix_padding_ms=300, silence_duration_ms=900)
    assert padded[0][1].audio_start_ms == bare[0][1].audio_start_ms - 300
    assert padded[1][1].audio_end_ms == bare[1][1].audio_end_ms + 400


def test_the_start_is_not_before_the_beginning():
    events = heard_in(np.concatenate([silence(100), clip("forever_2")]), prefix_padding_ms=3000)
    assert events[0][1] == SpeechStarted(0)


def test_the_start_is_not_before_the_last_end():
    word = clip("cards_001")
    voice = np.concatenate([silence(500), word, silence(300), word, silence(500)])
    events = [event for _, event in heard_in(voice, prefix_padding_ms=900, silence_duration_ms=200)]
    starts = [event.audio_start_ms for event in events if isinstance(event, SpeechStarted)]
    ends = [event.audio_end_ms for event in events if isinstance(event, SpeechStopped)]
    assert len(starts) == len(ends) >= 2
    assert all(start >= end for start, end in zip(starts[1:], ends[:-1], strict=True))
    assert starts[1] == ends[0]


@pytest.mark.parametrize("burst_ms", [2, 20, 40])
@pytest.mark.parametrize("offset", [0, 160])
def test_a_click_or_a_short_burst_begins_nothing(burst_ms, offset):
    count = 16 * burst_ms
    for seed in range(5):
        burst = noise(count, -12, seed)
        voice = np.concatenate([silence(600), np.zeros(offset), burst, silence(900)])
        assert heard_in(voice) == []


def test_silence_and_quiet_noise_begin_nothing():
    assert heard_in(silence(2000)) == []
    assert heard_in(noise(64_000, -60)) == []


def test_steady_noise_from_the_start_begins_nothing():
    assert heard_in(noise(160_000, -45)) == []


def test_trailing_silence_grows_while_nobody_speaks():
    detector = SpeechDetector(silence_duration_ms=500)
    silences = []
    for frame in framed(np.concatenate([silence(200), clip("forever_2"), silence(600)])):
        detector.push(frame)
        silences.append(detector.trailing_silence_ms)
    assert silences[:10] == [0] * 10
    last_voiced = max(k for k, ms in enumerate(silences[:-1]) if ms == 0 and silences[k + 1] == 20)
    assert silences[last_voiced : last_voiced + 25] == list(range(0, 500, 20))
    assert silences[-1] == 0
    assert not detector.speaking


def test_a_surer_threshold_needs_louder_speech():
    whisper = clip("forever_2") * 10 ** (-32 / 20)
    assert heard_in(in_silence(whisper), threshold=0.0) != []
    assert heard_in(in_silence(whisper), threshold=1.0) == []


def test_frames_of_another_length_are_refused():
    with pytest.raises(ValueError, match="640"):
        SpeechDetector().push(bytes(960))


@pytest.mark.parametrize(
    "settings",
    [
        {"rate_hz": 24_000},
        {"threshold": 1.1},
        {"prefix_padding_ms": -1},
        {"silence_duration_ms": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"webrtcvad does not know|threshold"):
        SpeechDetector(**settings)


# ------------------------------------------------------------------------------------ single frames


def voices_in(samples, *, floor_dbfs=-45.0):
    """Of each frame whether it is a voice, and whether that was hummed."""
    frames = VoiceFrames(8_000, floor_dbfs=floor_dbfs)
    quiet = noise(8_000, -65)
    found = [(frames.push(one), frames.is_hummed) for one in framed([*quiet, *samples], 8_000)]
    return found[50:]


def tone(hz, ms, dbfs=-20.0):
    at = np.arange(ms * 8) / 8000
    return 32768 * 10 ** (dbfs / 20) * np.sqrt(2) * np.sin(2 * np.pi * hz * at)


@pytest.mark.parametrize("name", ["cards_001", "goforward", "something"])
def test_the_frames_of_speech_are_a_voice_and_mostly_not_hummed(name):
    sound = clip(name, 8_000)
    found = voices_in(sound + noise(len(sound), -65))
    voiced = [hummed for voice, hummed in found if voice]
    assert len(voiced) > 20
    assert sum(voiced) < len(voiced) * 0.6


def test_a_frame_below_the_floor_is_no_voice():
    sound = clip("goforward", 8_000)
    assert not any(voice for voice, _ in voices_in(sound, floor_dbfs=0.0))


@pytest.mark.parametrize("hz", [50, 100, 440, 1000])
def test_what_stays_at_one_level_is_no_voice_after_160_ms(hz):
    found = voices_in(tone(hz, 2000) + noise(16_000, -65))
    assert not any(voice for voice, _ in found[8:])


def test_a_voice_with_little_above_its_first_harmonics_is_hummed():
    wobble = 1 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(8_000) / 8000)
    low = (tone(180, 1000) + tone(360, 1000, -26)) * wobble
    open_mouth = low + tone(900, 1000, -26) * wobble
    for sound, is_hummed in ((low, True), (open_mouth, False)):
        found = voices_in(sound + noise(8_000, -65))
        voiced = [hummed for voice, hummed in found if voice]
        assert len(voiced) > 5
        assert (sum(voiced) > len(voiced) * 0.9) == is_hummed


def banded(ms, low_hz, high_hz, dbfs):
    """Noise between two pitches, at 24 kHz."""
    samples = noise(ms * 24, dbfs)
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / 24_000)
    spectrum[(hz < low_hz) | (hz > high_hz)] = 0
    samples = np.fft.irfft(spectrum, len(samples))
    return samples * 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(samples**2))


def hisses(samples, floor_dbfs=-45.0):
    frames = HissFrames(floor_dbfs=floor_dbfs)
    quiet = noise(24 * 200, -65)
    found = []
    for frame in framed(np.concatenate([quiet, samples]), 24_000):
        low = np.frombuffer(frame, "<i2").reshape(-1, 3).mean(axis=1).astype("<i2")
        found.append(frames.push(level_dbfs(frame), level_dbfs(low.tobytes())))
    return found[10:]


def test_an_s_is_a_hiss():
    assert all(hisses(banded(100, 5000, 9000, -38)))


def test_noise_of_all_pitches_a_breath_and_a_soft_hiss_are_none():
    assert not any(hisses(banded(100, 0, 12_000, -30)))
    assert not any(hisses(banded(100, 500, 3000, -30)))
    assert not any(hisses(banded(100, 5000, 9000, -50)))


def test_what_hisses_for_longer_than_a_word_does_is_none():
    found = hisses(banded(600, 5000, 9000, -38))
    assert all(found[:12])
    assert not any(found[12:])
