"""PortAudio itself: loaded late, its errors as ours, and what each platform wants to be told."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from voicecli.audio.choosing import SEE_DEVICES
from voicecli.errors import AudioDeviceError

_MULTITHREADED: Final = 0
"COM's COINIT_MULTITHREADED."
_INSTALL_PORTAUDIO: Final = {
    "linux": "sudo apt install libportaudio2 (or: dnf install portaudio, pacman -S portaudio)",
    "darwin": "brew install portaudio",
}
_EXPLAINED: Final = {
    -9999: "the device or its sound server refuses; another program may be using it",
    -9997: "it does not support the sample rate",
    -9998: "it does not support one channel",
    -9996: "there is no such device",
    -9993: "the sound server is away",
    -9985: "it is in use by another program",
}


def load_sounddevice() -> Any:
    """The library, loaded when first needed: without PortAudio its import fails."""
    try:
        import sounddevice
    except OSError as exc:
        hint = _INSTALL_PORTAUDIO.get(sys.platform, "reinstall the package `sounddevice`")
        raise AudioDeviceError("PortAudio is not installed", hint) from exc
    return sounddevice


@contextlib.contextmanager
def mapped_errors(doing: str) -> Iterator[None]:
    """PortAudio's errors as ours; everything called on the library stands inside of this."""
    sounddevice = load_sounddevice()
    try:
        yield
    except sounddevice.PortAudioError as exc:
        code = exc.args[1] if len(exc.args) > 1 else 0
        reason = _EXPLAINED.get(code, str(exc.args[0]) if exc.args else "unknown")
        raise AudioDeviceError(f"{doing}: {reason}", SEE_DEVICES) from exc


def preferred_host_api(host_apis: Any) -> dict[str, Any]:
    """The host API whose defaults count: PortAudio's own choice, but on Windows WASAPI.

    There it is MME otherwise, which is slow and cuts names.
    """
    apis: list[dict[str, Any]] = list(host_apis)
    for api in apis:
        if "WASAPI" in api["name"]:
            return api
    sounddevice = load_sounddevice()
    default = sounddevice.default.hostapi
    return apis[default] if 0 <= default < len(apis) else {}


def stream_settings(sounddevice: Any, host_api: str) -> Any:
    """What a host API has to be told beside the usual.

    WASAPI takes the rate and the channels of the system's mixer and no others, unless it is allowed
    to convert: no mono from a microphone array of four, and none to a speaker of six channels.
    """
    return sounddevice.WasapiSettings(auto_convert=True) if "WASAPI" in host_api else None


def with_com(call: Callable[[], None]) -> None:
    """Call what calls PortAudio, in a thread of its own.

    On Windows each thread has to say that it uses COM, or WASAPI opens nothing there
    (https://github.com/PortAudio/portaudio/issues/250). They all share one apartment, which is kept
    between them: PortAudio goes on using what it found in a thread that has ended.
    """
    if sys.platform != "win32":
        call()
        return
    import ctypes

    com = ctypes.windll.ole32
    com.CoIncrementMTAUsage(ctypes.byref(ctypes.c_void_p()))
    has_begun = com.CoInitializeEx(None, _MULTITHREADED) >= 0
    try:
        call()
    finally:
        if has_begun:
            com.CoUninitialize()
