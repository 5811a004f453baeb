"""The configuration: defaults < file < environment < flags.

Every key is typed and documented where it is declared, and `voicecli config` shows each with its
value and where that came from. A profile is a named part of the file whose keys go over the file's
own.

Environment: `VOICECLI_` and the key in capitals, a dot as two underscores
(`VOICECLI_VAD__SILENCE_MS=300`). Secrets are never in the file: it names the environment variables
that hold them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_type_hints

import msgspec
from msgspec import Meta

from voicecli.audio.echo import EchoWish
from voicecli.errors import ConfigError
from voicecli.protocol.settings import (
    AudioFormat,
    Eagerness,
    NoiseReduction,
    SemanticVad,
    ServerVad,
    SessionSettings,
    TurnDetection,
)

VadMode: TypeAlias = Literal["semantic", "server", "none"]
BargeInMode: TypeAlias = Literal["server", "local", "off"]
Values: TypeAlias = dict[str, Any]
"Keys with dots, as in `vad.silence_ms`."

ENV_PREFIX: Final = "VOICECLI_"
ENV_CONFIG_FILE: Final = "VOICECLI_CONFIG"
ENV_PROFILE: Final = "VOICECLI_PROFILE"

OPENAI_URL: Final = "wss://api.openai.com/v1/realtime"
OPENAI_KEY_ENV: Final = "OPENAI_API_KEY"
OPENAI_MODEL: Final = "gpt-realtime-2.1"
OPENAI_TRANSCRIPTION_MODEL: Final = "gpt-realtime-whisper"

SILENCE_MS: Final = 500
LOCAL_SILENCE_MS: Final = 300
"The embedded engine recognises while it waits, and takes a turn back when speech goes on."


class Vad(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How turns end."""

    mode: VadMode = "server"
    "`server`: after a silence; `semantic`: when it sounds finished; `none`: push to talk."
    eagerness: Eagerness = "auto"
    "`semantic` only: how soon to answer."
    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    "`server` only: higher needs louder speech."
    prefix_ms: Annotated[int, Meta(ge=0, le=5000)] = 300
    "`server` only: audio kept from before the voice was noticed."
    silence_ms: Annotated[int, Meta(ge=0, le=10000)] = 0
    "`server` only: the silence that ends a turn; 0 is 500, and 300 with the embedded engine."
    idle_timeout_ms: Annotated[int, Meta(ge=0, le=30000)] = 0
    "`server` only: after so long without speech the model speaks unasked (from 5000; 0: never)."


class Audio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices, files and formats."""

    mic: str = "default"
    "A device by index or part of its name, a WAV file, `-` (PCM16 24 kHz on stdin), `none`."
    speaker: str = "default"
    "A device by index or part of its name, a WAV file, `-` (PCM16 24 kHz on stdout), `none`."
    input_format: AudioFormat = "pcm"
    "To the server: `pcm` is PCM16 at 24 kHz, `pcmu` and `pcma` are G.711 at 8 kHz."
    output_format: AudioFormat = "pcm"
    "From the server."
    noise_reduction: NoiseReduction = "off"
    "On the server: `near_field` for a headset, `far_field` for a room's microphone."
    echo: EchoWish = "auto"
    "How your microphone is kept from hearing the speaker: `auto`, `aec`, `half-duplex`, `off`."
    noise_suppression: bool = False
    "On this machine: take steady noise out of what the microphone hears."
    block_ms: Annotated[float, Meta(ge=0, le=100)] = 0
    "Length of the device's blocks; 0 takes the measured best (docs/audio.md)."
    device_patience_s: Annotated[float, Meta(ge=0, le=86400)] = 60.0
    "When a device goes away: look so long for another one before the talk ends."


class Talk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a talk ends."""

    linger_s: Annotated[float, Meta(ge=0, le=3600)] = 3.0
    "After the microphone's file is through: end when nothing was owed for so long."
    max_minutes: Annotated[float, Meta(ge=0)] = 0
    "End after so many minutes, whatever happens; 0: never."


class BargeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How your voice interrupts an answer (docs/barge-in.md)."""

    mode: BargeInMode = "server"
    '`server`: whenever it hears speech; `local`: not for a cough or a "yeah"; `off`: never.'
    style: Literal["duck", "hold"] = "duck"
    "`local` only: what the answer does at the first sign of a voice: become soft, or pause."
    duck_db: Annotated[float, Meta(ge=3, le=40)] = 18.0
    "`local` only: how soft."
    level_dbfs: Annotated[float, Meta(ge=-70, le=-20)] = -45.0
    "`local` only: what is softer than this at the microphone is nobody's voice."
    hold_ms: Annotated[int, Meta(ge=100, le=2000)] = 200
    "`local` only: so much voice makes the answer pause."
    commit_ms: Annotated[int, Meta(ge=200, le=10000)] = 1000
    "`local` only: so much voice stops it for good, whatever was said."
    patience_ms: Annotated[int, Meta(ge=300, le=5000)] = 1500
    "`local` only: so long after your voice the server's transcript is waited for."
    backchannels: str = ""
    "`local` only: more words that do not interrupt, with commas between them."


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a talk."""

    enabled: bool = False
    "Record every talk; `--record` does it for one."
    path: str = ""
    "A folder for recordings; empty: the user's own (`voicecli recordings path` names it)."
    audio: Literal["none", "assistant", "both"] = "both"
    "Whose audio is kept; words, times and events always are."


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded engine."""

    mind: str = "auto"
    "`rules`, `small`, `standard`, `auto`, or the URL of an OpenAI-compatible chat server."
    mind_model: str = ""
    "With a URL: the model's name there."
    mind_key_env: str = ""
    "With a URL: the environment variable that holds its key; empty: VOICECLI_MIND_KEY."
    ears: str = ""
    "What hears: the URL of a server with `/v1/audio/transcriptions`; empty: this machine."
    ears_model: str = ""
    "With a URL: the model's name there."
    ears_key_env: str = ""
    "With a URL: the environment variable that holds its key; empty: VOICECLI_EARS_KEY."
    voices: str = ""
    "What speaks: the URL of a server with `/v1/audio/speech`; empty: this machine."
    voices_model: str = ""
    "With a URL: the model's name there."
    voices_name: str = ""
    "With a URL: the voice to ask for there; empty: the one of `voice`."
    voices_key_env: str = ""
    "With a URL: the environment variable that holds its key; empty: VOICECLI_VOICES_KEY."


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server of your own, to be named by `server`."""

    url: str
    "ws:// or wss://"
    key_env: str = ""
    "The environment variable that holds its key; empty: no key is sent."
    key_header: str = "Authorization"
    "Header for the key; `Authorization` gets `Bearer` before it, others (`api-key`) do not."
    model: str = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    server: str = "auto"
    "`openai`, `local`, a ws or wss URL, a name of `[servers]`; `auto`: openai with a key or local."
    model: str = ""
    "Empty: the server's usual one."
    voice: str = ""
    "Empty: the server's usual one."
    instructions: str = ""
    "What the assistant is told to be; `@FILE` reads a file."
    language: str = ""
    "Of what you say, as ISO 639-1 (`en`): helps the transcription."
    transcription: str = "auto"
    "The model that writes down what you say; `off`: none; `auto`: the server's usual one."
    tools: str = ""
    "A Python file whose functions the model may call."
    vad: Vad = Vad()
    audio: Audio = Audio()
    barge_in: BargeIn = BargeIn()
    talk: Talk = Talk()
    recording: Recording = Recording()
    local: Local = Local()
    servers: dict[str, Server] = {}


@dataclass(frozen=True)
class Setting:
    """One key of the effective configuration."""

    key: str
    value: object
    origin: str
    "`default`, a file's path, an environment variable or a flag."


@dataclass(frozen=True)
class Effective:
    """The configuration in force, and where each value comes from."""

    config: Config
    origins: Mapping[str, str]

    def __iter__(self) -> Iterator[Setting]:
        for key, value in flatten(msgspec.to_builtins(self.config)).items():
            yield Setting(key, _public(value), self.origins.get(key, "default"))


def _public(value: object) -> object:
    """A value as it may be shown: an address without what may be a password or a key."""
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    address = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{address.rpartition('@')[2]}"


def public_values(config: Config) -> Values:
    """Every key with its value, as it may be shown and written down."""
    values = flatten(msgspec.to_builtins(config))
    return {key: _public(value) for key, value in values.items()}


def default_file() -> Path:
    """Where the configuration file is looked for."""
    import platformdirs

    return Path(platformdirs.user_config_dir("voicecli", appauthor=False)) / "config.toml"


def named_file(path: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file that was asked for: `path`, else that of `VOICECLI_CONFIG`, else none."""
    return path or (Path(environ[ENV_CONFIG_FILE]) if environ.get(ENV_CONFIG_FILE) else None)


def load(
    flags: Mapping[str, object],
    *,
    path: Path | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] = os.environ,
    script: tuple[str, Mapping[str, object]] | None = None,
) -> Effective:
    """Read every layer and put one over the other.

    Args:
        flags: values given on the command line by key; None means not given.
        path: the file; None: `VOICECLI_CONFIG`, else the user's, which need not exist.
        profile: the part under `[profiles]` to put over the file; None: `VOICECLI_PROFILE`.
        environ: the environment.
        script: a name, and values by key that go over all but the flags.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a value out of range.
    """
    named = named_file(path, environ)
    file = named or default_file()
    content = _read(file, must_exist=named is not None)
    profiles = content.pop("profiles", {})
    layers = [_layer(str(file), content)]
    wanted = profile or environ.get(ENV_PROFILE)
    if wanted:
        layers.append(_layer(f"{file} [profiles.{wanted}]", _profile(profiles, wanted, file)))
    layers += [_Layer(name, {key: value}) for name, key, value in _from_environment(environ)]
    if script is not None:
        layers.append(_Layer(script[0], dict(script[1])))
    given = {key: value for key, value in flags.items() if value is not None}
    layers += [_Layer(f"--{_flag(key)}", {key: value}) for key, value in given.items()]
    return _merge(layers)


@dataclass(frozen=True)
class _Layer:
    """Values of one origin; servers apart, since their names may hold dots."""

    origin: str
    values: Values
    servers: Mapping[str, Server] = field(default_factory=dict)


def _layer(origin: str, content: Values) -> _Layer:
    servers = content.get("servers", {})
    rest = {key: value for key, value in content.items() if key != "servers"}
    try:
        return _Layer(origin, flatten(rest), msgspec.convert(servers, dict[str, Server]))
    except msgspec.ValidationError as exc:
        raise ConfigError(f"[servers] in {origin}: {_plain(exc)}") from exc


def _merge(layers: list[_Layer]) -> Effective:
    merged: Values = {}
    servers: dict[str, Server] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        _check(layer.values, layer.origin)
        merged |= layer.values
        servers |= layer.servers
        origins |= dict.fromkeys(layer.values, layer.origin)
        origins |= {key: layer.origin for name in layer.servers for key in _keys_of(name)}
    config = msgspec.convert(_nested(merged), Config, strict=False)
    return Effective(msgspec.structs.replace(config, servers=servers), origins)


def _keys_of(server: str) -> list[str]:
    return [f"servers.{server}.{name}" for name in Server.__struct_fields__]


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Values:
    """Nested tables as keys with dots."""
    flat: Values = {}
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            flat[f"{prefix}{key}"] = value
    return flat


def _nested(flat: Values) -> Values:
    nested: Values = {}
    for key, value in flat.items():
        *parents, name = key.split(".")
        table = nested
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = value
    return nested


def _read(file: Path, *, must_exist: bool) -> Values:
    try:
        with file.open("rb") as stream:
            # Editors on Windows like to begin a file with a mark, which TOML does not know.
            return tomllib.loads(stream.read().decode("utf-8-sig"))
    except FileNotFoundError as exc:
        if must_exist:
            raise ConfigError(f"there is no configuration file {str(file)!r}") from exc
        return {}
    except OSError as exc:
        raise ConfigError(f"cannot read {str(file)!r}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{str(file)!r} is not valid TOML: {exc}") from exc


def _profile(profiles: Any, name: str, file: Path) -> Values:
    found = profiles.get(name) if isinstance(profiles, dict) else None
    if not isinstance(found, dict):
        known = ", ".join(sorted(profiles)) if isinstance(profiles, dict) and profiles else "none"
        raise ConfigError(f"no profile {name!r} in {str(file)!r}", f"there are: {known}")
    return found


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    known = {ENV_PREFIX + key.upper().replace(".", "__"): key for key in all_keys()}
    for name, key in known.items():
        if name in environ:
            yield name, key, environ[name]


def all_keys() -> list[str]:
    """Every key of the configuration, those of servers left out."""
    return list(flatten(msgspec.to_builtins(Config())))


def _flag(key: str) -> str:
    return _FLAGS.get(key, key.rpartition(".")[2].replace("_", "-"))


_FLAGS: Final = {
    "vad.mode": "vad",
    "barge_in.mode": "barge-in",
    "talk.linger_s": "linger",
    "recording.path": "record",
    "recording.enabled": "record",
    "recording.audio": "record-audio",
    "transcription": "transcription-model",
    "audio.input_format": "format",
    "audio.output_format": "format",
    "audio.device_patience_s": "device-patience",
    "local.mind": "mind",
}
"Flags that are not called like the last word of their key."


def problem_with(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with a value from elsewhere for a key, and what is allowed; None: nothing."""
    if key not in all_keys():
        return "unknown key", _nearest(key)
    try:
        msgspec.convert(_nested({key: value}), Config, strict=False)
    except msgspec.ValidationError as exc:
        return f"{value!r}: {_plain(exc)}", _allowed(key)
    return None


def _check(values: Values, origin: str) -> None:
    for key, value in values.items():
        if key not in all_keys():
            raise ConfigError(f"unknown key {key!r} in {origin}", _nearest(key))
        problem = problem_with(key, value)
        if problem is not None:
            raise ConfigError(f"{origin}: {key} = {problem[0]}", problem[1])


def _plain(exc: msgspec.ValidationError) -> str:
    text = str(exc).split(" - at ")[0]
    return text[:1].lower() + text[1:]


def _allowed(key: str) -> str:
    """What a key may be, where that is a list of words."""
    *parents, name = key.split(".")
    table: Any = Config
    for parent in parents:
        table = get_type_hints(table)[parent]
    words = get_args(get_type_hints(table)[name])
    is_list = bool(words) and all(isinstance(word, str) for word in words)
    return f"allowed: {', '.join(words)}" if is_list else ""


def _nearest(key: str) -> str:
    import difflib

    near = difflib.get_close_matches(key, all_keys(), n=1)
    return f"did you mean {near[0]!r}?" if near else "`voicecli config` lists every key"


# ------------------------------------------------------------------------- what a talk makes of it


@dataclass(frozen=True)
class Destination:
    """The server a talk goes to; `url` is empty for the embedded engine."""

    name: str
    url: str
    model: str
    key_env: str
    key_header: str

    def headers(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The headers that let us in.

        Raises:
            ConfigError: the key's environment variable is empty or can be none, or no header can
                carry the key.
        """
        if not self.key_env:
            return {}
        if not self.key_env.isidentifier():
            # It may be the key itself, so it is not repeated.
            raise ConfigError(
                f"key_env of {self.name!r} is not the name of an environment variable",
                "put the key into a variable, and the variable's name into the file",
            )
        key = environ.get(self.key_env, "").strip()
        if not key:
            raise ConfigError(
                f"no key for {self.name!r}: the environment variable {self.key_env} is empty",
                "set it, or talk to the embedded engine: voicecli talk --server local",
            )
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(
                f"the key in {self.key_env} holds characters that no key has",
                "copy it anew: a line end or an ellipsis may have come along",
            )
        bearer = "Bearer " if self.key_header.lower() == "authorization" else ""
        return {self.key_header: bearer + key}


def keys_about(config: Config, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Every key of ours that the environment holds, used or not."""
    values = flatten(msgspec.to_builtins(config))
    names = {str(value) for key, value in values.items() if key.endswith("key_env")}
    names |= {name for name in environ if name.startswith(ENV_PREFIX) and name.endswith("_KEY")}
    keys = (environ.get(name, "").strip() for name in sorted(names | {OPENAI_KEY_ENV}))
    return [key for key in keys if key]


def destination(config: Config, environ: Mapping[str, str] = os.environ) -> Destination:
    """Which server the configuration means.

    Raises:
        ConfigError: a name that is none of the known ones.
    """
    name = config.server
    if name == "auto":
        name = "openai" if environ.get(OPENAI_KEY_ENV, "").strip() else "local"
    if name == "local":
        return Destination("local", "", config.model, "", "")
    if name in config.servers:
        own = config.servers[name]
        return Destination(name, own.url, config.model or own.model, own.key_env, own.key_header)
    if name == "openai":
        model = config.model or OPENAI_MODEL
        return Destination("openai", OPENAI_URL, model, OPENAI_KEY_ENV, "Authorization")
    if "://" in name:
        # No key goes to an address that was merely typed: name the server in the file for that.
        return Destination(name, name, config.model, "", "")
    known = ", ".join(["openai", "local", *sorted(config.servers)])
    raise ConfigError(f"unknown server {name!r}", f"it is one of {known}, or a ws:// or wss:// URL")


def session_settings(
    config: Config, *, is_local: bool, tools: tuple[dict[str, Any], ...] = ()
) -> SessionSettings:
    """The server's settings from the configuration.

    Raises:
        ConfigError: the file named by `instructions` cannot be read, or values do not go together.
    """
    wanted = config.transcription
    model = {"off": None, "auto": OPENAI_TRANSCRIPTION_MODEL}.get(wanted, wanted)
    return SessionSettings(
        instructions=_instructions(config.instructions),
        voice=config.voice or None,
        turn_detection=_turn_detection(config.vad, config.barge_in.mode, is_local=is_local),
        input_format=config.audio.input_format,
        output_format=config.audio.output_format,
        noise_reduction=config.audio.noise_reduction,
        transcription_model=model,
        language=config.language or None,
        tools=tools,
    )


def _instructions(text: str) -> str | None:
    if not text.startswith("@"):
        return text or None
    try:
        return Path(text[1:]).expanduser().read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError as exc:
        raise ConfigError(
            f"there is no file {text[1:]!r}", "instructions with an @ are read from a file"
        ) from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ConfigError(f"cannot read the instructions in {text[1:]!r}: {reason}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{text[1:]!r} is no text in UTF-8: {exc.reason}") from exc


def _turn_detection(vad: Vad, barge_in: BargeInMode, *, is_local: bool) -> TurnDetection:
    if vad.idle_timeout_ms and vad.idle_timeout_ms < 5000:
        raise ConfigError(
            f"vad.idle_timeout_ms = {vad.idle_timeout_ms} is too short", "it is 5000 to 30000, or 0"
        )
    if vad.mode == "none":
        return None
    by_server = barge_in == "server"
    if vad.mode == "semantic":
        return SemanticVad(
            eagerness=vad.eagerness, create_response=by_server, interrupt_response=by_server
        )
    return ServerVad(
        threshold=vad.threshold,
        prefix_padding_ms=vad.prefix_ms,
        silence_duration_ms=vad.silence_ms or (LOCAL_SILENCE_MS if is_local else SILENCE_MS),
        idle_timeout_ms=vad.idle_timeout_ms or None,
        create_response=by_server,
        interrupt_response=by_server,
    )
