import subprocess
import sys

import pytest

from voicecli.audio.g711 import ALAW, ULAW
from voicecli.audio.wire import WireDecoder, WireEncoder


def test_pcm_passes_without_a_copy():
    pcm = bytes(range(96)) * 10
    assert WireEncoder("pcm").encode(pcm) is pcm
    assert WireDecoder("pcm").decode(pcm) is pcm


def test_a_sample_torn_between_two_deltas_is_joined():
    decoder = WireDecoder("pcm")
    pieces = [decoder.decode(piece) for piece in (b"\1\2\3", b"", b"\4", b"\5\6", b"\7\x08\x09")]
    assert pieces == [b"\1\2", b"", b"\3\4", b"\5\6", b"\7\x08"]
    assert decoder.finish() == b""
    assert decoder.decode(b"\1\2") == b"\1\2"


@pytest.mark.parametrize(("format", "law"), [("pcmu", ULAW), ("pcma", ALAW)])
def test_g711_is_a_third_of_the_samples_one_byte_each(format, law):
    encoder = WireEncoder(format)
    encoded = b"".join(encoder.encode(b"\x10\x27" * 480) for _ in range(10)) + encoder.finish()
    assert len(encoded) == 1600
    assert set(encoded[200:-200]) == {law.encode(b"\x10\x27")[0]}


@pytest.mark.parametrize("format", ["pcmu", "pcma"])
def test_decoding_gives_three_samples_a_byte(format):
    decoder = WireDecoder(format)
    pcm = decoder.decode(bytes(160)) + decoder.decode(b"") + decoder.decode(bytes(161))
    assert len(pcm + decoder.finish()) == 321 * 3 * 2


@pytest.mark.parametrize("format", ["pcm", "pcmu", "pcma"])
def test_nothing_is_nothing(format):
    assert WireEncoder(format).encode(b"") == b""
    assert WireEncoder(format).finish() == b""
    assert WireDecoder(format).decode(b"") == b""
    assert WireDecoder(format).finish() == b""


def test_pcm_needs_no_numpy():
    program = (
        "import sys; from voicecli.audio.wire import WireDecoder, WireEncoder;"
        "import voicecli.audio.playback, voicecli.audio.vad, voicecli.audio.files,"
        " voicecli.audio.devices;"
        "WireDecoder('pcm').decode(WireEncoder('pcm').encode(b'ab'));"
        "heavy = {'numpy', 'samplerate', 'soxr', 'sounddevice', 'webrtcvad'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
