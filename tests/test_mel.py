"""Log-mel features, against values of another implementation."""

import pytest
from helpers_speech import clips

np = pytest.importorskip("numpy")

from voicecli.engine.ears.mel import BANDS, RATE_HZ, log_mel, normalized  # noqa: E402

# Of `goforward.wav` with silence before it up to 8 s, from WhisperFeatureExtractor(chunk_length=8)
# of transformers 5.24.0, in numpy: (band, frame) -> with do_normalize=True, and without it.
TRANSFORMERS = {
    (0, 0): (0.00612, -0.8826),
    (3, 560): (0.70054, -0.18819),
    (10, 600): (1.16435, 0.27563),
    (25, 640): (0.26311, -0.62562),
    (40, 500): (0.00612, -0.8826),
    (60, 655): (0.90298, 0.01425),
    (79, 799): (0.16702, -0.72171),
}
MEANS = (0.21283142, -0.6758949)


def eight_seconds():
    (clip,) = [one for one in clips() if one.name == "goforward.wav"]
    samples = clip.samples()
    return np.pad(samples, (8 * RATE_HZ - len(samples), 0))


@pytest.mark.parametrize("which", [0, 1])
def test_the_features_are_those_of_the_reference(which):
    samples = eight_seconds()
    found = log_mel(samples if which else normalized(samples))
    assert found.shape == (BANDS, 800)
    assert found.dtype == np.float32
    for place, values in TRANSFORMERS.items():
        assert found[place] == pytest.approx(values[which], abs=2e-5)
    assert found.mean() == pytest.approx(MEANS[which], abs=1e-5)


def test_a_tone_is_in_the_band_of_its_frequency_and_nowhere_far_from_it():
    seconds = np.arange(RATE_HZ) / RATE_HZ
    for hz, mel in ((400.0, 6.0), (6400.0, 42.0)):
        loudest = log_mel(np.sin(2 * np.pi * hz * seconds).astype(np.float32))[:, 10:90].argmax(0)
        highest_mel = 15.0 + 27.0 * np.log(8.0) / np.log(6.4)
        assert set(loudest) <= {
            round(mel / highest_mel * (BANDS + 1)) - 1 + off for off in (-1, 0, 1)
        }


def test_silence_has_features_too():
    assert np.isfinite(log_mel(normalized(np.zeros(RATE_HZ, np.float32)))).all()
