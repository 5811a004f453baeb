"""Commands that differ from system to system."""

from __future__ import annotations

from typing import Final

_PORTAUDIO: Final = {
    "linux": ("sudo apt install libportaudio2",),
    "darwin": ("brew install portaudio",),
    "win32": ("pip install --force-reinstall sounddevice",),
}
_UNMUTE: Final = {
    "linux": ("pactl set-source-mute @DEFAULT_SOURCE@ 0",),
    "darwin": (
        "open 'x-apple.systempreferences:com.apple.preference.security?Privacy_Microphone'",
    ),
    "win32": ("start ms-settings:privacy-microphone",),
}
_UNMUTE_WORDS: Final = {
    "linux": "it is muted, by a switch or by the sound server (pavucontrol and alsamixer show it)",
    "darwin": "the terminal may not use the microphone: allow it under Privacy & Security > "
    "Microphone, then start the terminal anew; or the input volume is zero",
    "win32": "desktop apps may not use the microphone, or it is muted: allow it in the settings",
}
_INPUT_LEVEL: Final = {
    "linux": "pactl set-source-volume @DEFAULT_SOURCE@ {percent}%",
    "darwin": "osascript -e 'set volume input volume {percent}'",
    "win32": "start ms-settings:sound",
}
_SET_KEY: Final = {
    "win32": "$env:{name} = Read-Host '{name}'",
}
_RESTART_SOUND: Final = {
    "linux": (
        "systemctl --user restart pipewire pipewire-pulse wireplumber",
        "pulseaudio --kill; pulseaudio --start",
    ),
    "darwin": ("sudo killall coreaudiod",),
    "win32": ("Restart-Service Audiosrv -Force",),
}
WSL_SOUND: Final = "sudo apt install libasound2-plugins pulseaudio-utils"


def install_portaudio(platform: str) -> tuple[str, ...]:
    """What installs the sound library."""
    return _PORTAUDIO.get(platform, _PORTAUDIO["linux"])


def unmute(platform: str) -> tuple[str, tuple[str, ...]]:
    """What is the matter with a microphone that gives exact zeros, and what may help."""
    known = platform if platform in _UNMUTE else "linux"
    return _UNMUTE_WORDS[known], _UNMUTE[known]


def input_level(platform: str, percent: int) -> str:
    """What sets the microphone's gain."""
    return _INPUT_LEVEL.get(platform, _INPUT_LEVEL["linux"]).format(percent=percent)


def set_key(platform: str, name: str) -> str:
    """What puts a key into the environment without leaving it in the shell's history."""
    usual = "read -rs {name} && export {name}"
    return _SET_KEY.get(platform, usual).format(name=name)


def restart_sound(platform: str) -> tuple[str, ...]:
    """What starts a sound server anew that does not answer; the first that is known does."""
    return _RESTART_SOUND.get(platform, ())
