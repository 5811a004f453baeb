"""The canceller of echo, and which way of keeping echo out a talk takes.

The library is WebRTC's own canceller (`pywebrtc-audio`, the extra `aec`). It is loaded when an
echo is to be cancelled, and not before.
"""

import importlib.util
from typing import Any, Final, Literal, TypeAlias

from voicecli.audio.pcm import WIRE_RATE_HZ
from voicecli.errors import ConfigError

EchoWish: TypeAlias = Literal["auto", "aec", "half-duplex", "off"]
EchoMode: TypeAlias = Literal["aec", "half-duplex", "off"]

INSTALL: Final = 'pip install "voicecli[aec]"'

LEAD_MS: Final = 20
"""So much later than it is captured is what the microphone's audio is held against: times that are
off must not let an echo come before its cause."""
HINT_MS: Final = 40
"What the canceller is told of the delay when it begins: the lead, and a way through a room."


def has_canceller() -> bool:
    """Whether the library is there, in a version that is more than its name (0.0.1 is empty)."""
    if importlib.util.find_spec("pywebrtc_audio") is None:
        return False
    try:
        import pywebrtc_audio
    except ImportError:
        return False
    return hasattr(pywebrtc_audio, "AudioProcessor")


def choose_mode(wish: EchoWish) -> EchoMode:
    """How echo is kept out where microphone and speaker are both devices.

    Raises:
        ConfigError: cancellation was asked for by name, and is not installed.
    """
    if wish in ("half-duplex", "off"):
        return wish
    if has_canceller():
        return "aec"
    if wish == "aec":
        raise ConfigError("echo cancellation is not installed", f"install it: {INSTALL}")
    return "half-duplex"


def check_suppression() -> None:
    """See that noise can be suppressed.

    Raises:
        ConfigError: what does it is not installed.
    """
    if not has_canceller():
        raise ConfigError("noise suppression is not installed", f"install it: {INSTALL}")


class Processor:
    """WebRTC's processing of one microphone, frame by frame, about 10 ms late.

    Args:
        cancels_echo: whether what is played is taken out.
        suppresses_noise: whether steady noise is.
    """

    def __init__(self, *, cancels_echo: bool, suppresses_noise: bool) -> None:
        import pywebrtc_audio

        self._processor: Any = pywebrtc_audio.AudioProcessor(
            sample_rate=WIRE_RATE_HZ,
            echo_cancellation=cancels_echo,
            noise_suppression=suppresses_noise,
            ns_level=2,
            stream_delay_ms=HINT_MS,
        )

    def process(self, near: bytes, far: bytes) -> bytes:
        """Clean 20 ms of the microphone.

        Args:
            near: what was captured.
            far: what was played, from the same time line; silence where nothing was.
        """
        import numpy as np

        cleaned = self._processor.process(np.frombuffer(near, "<i2"), np.frombuffer(far, "<i2"))
        return bytes(cleaned.astype("<i2").data)

    def reset(self) -> None:
        """Forget the way from the speaker to the microphone: it is another one, or slipped.

        A delay that has become shorter would otherwise cost the canceller ten seconds.
        """
        self._processor.reset()
        self._processor.stream_delay_ms = HINT_MS
