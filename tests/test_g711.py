"""The tables against an independent reading of the standard, sample by sample."""

import struct
import sys
import warnings

import pytest

from voicecli.audio.g711 import ALAW, ULAW

EVERY_SAMPLE = range(-32768, 32768)
EVERY_CODE = bytes(range(256))


def ulaw_of(sample):
    """Search the segment by its end points, as the table of the recommendation is drawn."""
    magnitude = sample if sample >= 0 else -sample - 1
    magnitude = min((magnitude >> 2) + 33, 8191)
    segment = 0
    while magnitude > (64 << segment) - 1:
        segment += 1
    step = (magnitude - (32 << segment)) // (2 << segment)
    code = segment * 16 + step
    return (0xFF if sample >= 0 else 0x7F) - code


def alaw_of(sample):
    """Segment 1 begins at 16 steps and has single steps, like segment 0."""
    magnitude = (sample if sample >= 0 else -sample - 1) // 16
    segment = 0
    while segment < 7 and magnitude >= 16 << segment:
        segment += 1
    if segment == 0:
        code = magnitude
    else:
        step = 1 << (segment - 1)
        code = segment * 16 + (magnitude - 16 * step) // step
    return (code | (0x80 if sample >= 0 else 0)) ^ 0x55


def ulaw_sample(code):
    inverted = 0xFF - code
    segment, step = inverted // 16 % 8, inverted % 16
    magnitude = (33 + 2 * step) * (1 << segment) - 33
    return 4 * magnitude if code >= 0x80 else -4 * magnitude


def alaw_sample(code):
    plain = code ^ 0x55
    segment, step = plain // 16 % 8, plain % 16
    middle = 2 * step + 1 if segment == 0 else (2 * step + 33) << (segment - 1)
    return 8 * middle if plain >= 0x80 else -8 * middle


@pytest.mark.parametrize(("law", "reference"), [(ULAW, ulaw_of), (ALAW, alaw_of)])
def test_every_sample_is_encoded_as_the_standard_says(law, reference):
    pcm = struct.pack("<65536h", *EVERY_SAMPLE)
    assert law.encode(pcm) == bytes(reference(sample) for sample in EVERY_SAMPLE)


@pytest.mark.parametrize(("law", "reference"), [(ULAW, ulaw_sample), (ALAW, alaw_sample)])
def test_every_code_is_decoded_as_the_standard_says(law, reference):
    assert law.decode(EVERY_CODE) == struct.pack("<256h", *map(reference, EVERY_CODE))


@pytest.mark.parametrize("law", [ULAW, ALAW])
def test_a_decoded_code_is_encoded_as_itself(law):
    codes = bytes(code for code in EVERY_CODE if not (law is ULAW and code == 0x7F))
    assert law.encode(law.decode(codes)) == codes  # 0x7f is minus zero: it comes back as plus


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="audioop has left the standard library")
def test_decoding_agrees_with_audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    assert ULAW.decode(EVERY_CODE) == audioop.ulaw2lin(EVERY_CODE, 2)
    assert ALAW.decode(EVERY_CODE) == audioop.alaw2lin(EVERY_CODE, 2)


@pytest.mark.parametrize("law", [ULAW, ALAW])
def test_nothing_is_nothing(law):
    assert law.encode(b"") == b""
    assert law.decode(b"") == b""
