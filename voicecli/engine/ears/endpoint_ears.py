"""Ears at a URL: any server that takes recordings at `/v1/audio/transcriptions`."""

import io
import secrets
import wave
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from voicecli.engine.ears.ears import RATE_HZ
from voicecli.engine.remote import Remote, read_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY_VARIABLE = "VOICECLI_EARS_KEY"


class EndpointEars:
    """Asks a transcription server, such as speaches, whisper.cpp's, vLLM's or OpenAI's.

    Nothing is sent before the first recording; each goes as a WAV file of 16 kHz.

    Args:
        url: "http://host:port", with or without "/v1" and "/audio/transcriptions".
        model: the model to ask for; by default the first that the server lists.
        key_variable: the environment variable that holds the key; unset means no key.
        timeout_s: how long the server may be silent.

    Raises:
        ConfigError: the URL has no host.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key_variable: str = KEY_VARIABLE,
        timeout_s: float = 20.0,
    ) -> None:
        self._remote = Remote(
            url, "/audio/transcriptions", speaks="transcriptions", model=model,
            key_variable=key_variable, timeout_s=timeout_s,
        )  # fmt: skip

    def transcribe(self, samples: "NDArray[np.float32]", *, language: str = "") -> str:
        """See `Ears`; may be called from any thread.

        The language is passed on; without one most servers find it out themselves.

        Raises:
            NotAuthorized: the server wants another key.
            NetworkStalled: the server was silent for too long.
            ConnectionFailed: the server cannot be reached or went away.
            ModelError: the server refused the request, or answers in another protocol.
        """
        if not len(samples):
            return ""
        with closing(self._remote.line()) as line, self._remote.mapped_errors():
            fields = {"model": self._remote.model(), "response_format": "json"}
            if language:
                fields["language"] = language
            boundary = secrets.token_hex(16)
            body = _form(fields, _wav(samples), boundary)
            headers = {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Accept": "application/json",
            }
            text = read_json(self._remote.post(line, body, headers))["text"]
            if not isinstance(text, str):
                raise TypeError("a transcript that is no text")
        return text.strip()


def _wav(samples: "NDArray[np.float32]") -> bytes:
    import numpy as np

    pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(RATE_HZ)
        wav.writeframes(pcm)
    return file.getvalue()


def _form(fields: Mapping[str, str], wav: bytes, boundary: str) -> bytes:
    """A multipart form (RFC 7578) with the fields and then the recording."""
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="speech.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return head.encode() + wav + f"\r\n--{boundary}--\r\n".encode()
