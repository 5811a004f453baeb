"""Every error a person can meet, in one tree.

VoicecliError                 message: what happened; hint: what to do; exit_code
 ├─ ConfigError          2    an unknown key or option, a value out of range
 ├─ AudioDeviceError     3    no device, device busy, rate refused, PortAudio missing
 ├─ ConnectionFailed     4    the server cannot be reached, or went away
 │   ├─ NotAuthorized    4    the key is missing or was refused
 │   └─ NetworkStalled   4    the server did not answer in time
 ├─ ProtocolError        5    the other end broke the protocol
 ├─ RecordingError       6    not a recording, or a newer version of one
 └─ ModelError           7    model weights are missing, damaged or cannot be fetched
     └─ LanguageNotHeard 7    no model that is here understands the language

Messages state the fact in lower case without a full stop, with values in `repr`; the hint says
what to do next. A key, a token or a header never becomes part of either.
"""


class VoicecliError(Exception):
    """The root: `message` is the fact, `hint` the next step, `exit_code` what a shell sees."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(VoicecliError):
    """A key, option or value that cannot be used; names it and what is allowed."""

    exit_code = 2


class AudioDeviceError(VoicecliError):
    """A sound device cannot be opened or has failed for good."""

    exit_code = 3


class ConnectionFailed(VoicecliError):
    """The server cannot be reached, refused the connection, or went away."""

    exit_code = 4


class NotAuthorized(ConnectionFailed):
    """The key is missing or was refused."""


class NetworkStalled(ConnectionFailed):
    """The server was reached and then did not answer in time."""


class ProtocolError(VoicecliError):
    """The other end sent what the protocol does not allow, and the session cannot go on."""

    exit_code = 5


class RecordingError(VoicecliError):
    """Not a recording, a damaged one, or one of a newer version."""

    exit_code = 6


class ModelError(VoicecliError):
    """Model weights are missing, damaged or cannot be fetched."""

    exit_code = 7


class LanguageNotHeard(ModelError):
    """No model that is here understands the language."""
