"""A voice at a URL: any server that speaks at `/v1/audio/speech`."""

from collections.abc import Iterator
from contextlib import closing

from voicecli.engine.remote import Answer, Remote, blocks, content_type
from voicecli.errors import ModelError

KEY_VARIABLE = "VOICECLI_VOICES_KEY"
_ANY_VOICE = "alloy"
"The field is not optional; most servers know this name."
_PIECE_BYTES = 4800
"100 ms: smaller pieces are joined, so that a client is not sent crumbs."


class EndpointVoice:
    """Asks a speech server, such as speaches, Kokoro-FastAPI or OpenAI's, for PCM as it is made.

    Nothing is sent before the first sentence.

    Args:
        url: "http://host:port", with or without "/v1" and "/audio/speech".
        model: the model to ask for; by default the first that the server lists.
        voice: the voice to ask for; None: the one that the client asked for.
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
        voice: str | None = None,
        key_variable: str = KEY_VARIABLE,
        timeout_s: float = 20.0,
    ) -> None:
        self._remote = Remote(
            url, "/audio/speech", speaks="speech", model=model,
            key_variable=key_variable, timeout_s=timeout_s,
        )  # fmt: skip
        self._voice = voice

    def speak(self, text: str, *, speed: float = 1.0, voice: str = "") -> Iterator[bytes]:
        """See `Voice`; may be called from any thread.

        Raises:
            NotAuthorized: the server wants another key.
            NetworkStalled: the server was silent for too long.
            ConnectionFailed: the server cannot be reached or went away, in mid-sentence too.
            ModelError: the server refused the request, or sends something else than PCM.
        """
        if not text.strip():
            return
        with closing(self._remote.line()) as line, self._remote.mapped_errors():
            request = {
                "model": self._remote.model(), "input": text,
                "voice": self._voice or voice or _ANY_VOICE,
                "response_format": "pcm", "speed": speed,
            }  # fmt: skip
            answer = self._remote.post_json(line, request, "audio/pcm")
            self._check(answer)
            yield from self._pieces(answer)

    def _check(self, answer: Answer) -> None:
        kind = content_type(answer)
        if kind.startswith(("text/", "application/json")):
            raise ModelError(f"the server at {self._remote.host!r} sent {kind!r} and no sound")

    def _pieces(self, answer: Answer) -> Iterator[bytes]:
        """Whole samples, 100 ms and more each but for the last."""
        held, begun = b"", False
        for block in blocks(answer):
            held += block
            if len(held) < _PIECE_BYTES:
                continue
            if not begun:
                self._check_start(held)
                begun = True
            whole = len(held) - len(held) % 2
            yield held[:whole]
            held = held[whole:]
        if held and not begun:
            self._check_start(held)
        if len(held) > 1:
            yield held[: len(held) - len(held) % 2]

    def _check_start(self, start: bytes) -> None:
        """Not every server knows `pcm`, and a file of another format is a loud noise."""
        if start.startswith((b"RIFF", b"ID3", b"OggS", b"fLaC")):
            raise ModelError(
                f"the server at {self._remote.host!r} sent a sound file instead of PCM",
                "it has to know the response_format 'pcm', 24 kHz",
            )
