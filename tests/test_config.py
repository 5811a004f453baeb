"""The configuration: layers, checks, and what a talk makes of it."""

import itertools
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from voicecli.bargein import BargeInRules
from voicecli.config import (
    OPENAI_URL,
    Audio,
    BargeIn,
    Config,
    Destination,
    Server,
    Setting,
    Vad,
    all_keys,
    destination,
    flatten,
    load,
    session_settings,
)
from voicecli.errors import ConfigError
from voicecli.protocol.settings import SemanticVad, ServerVad, SessionSettings

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
KEY = {"OPENAI_API_KEY": "sk-secret"}


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(*args, **kwargs) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*args, **{"environ": {}} | kwargs)
    return f"{caught.value.message} | {caught.value.hint}"


# ---------------------------------------------------------------------------------- the layers


def test_each_layer_goes_over_the_one_before_it_and_is_named_as_the_origin(file):
    path = file('model = "file"\nvoice = "file"\nlanguage = "fi"\n[profiles.p]\nvoice = "profile"')
    environ = {"VOICECLI_LANGUAGE": "en", "VOICECLI_TOOLS": "env.py"}
    effective = load({"tools": "flag.py"}, path=path, profile="p", environ=environ)
    config = effective.config
    assert (config.server, config.model, config.voice, config.language, config.tools) == (
        "auto",
        "file",
        "profile",
        "en",
        "flag.py",
    )
    origins = {one.key: one.origin for one in effective}
    assert [origins[key] for key in ("server", "model", "voice", "language", "tools")] == [
        "default",
        str(path),
        f"{path} [profiles.p]",
        "VOICECLI_LANGUAGE",
        "--tools",
    ]


def test_a_layer_leaves_the_other_keys_of_a_table_alone(file):
    path = file("[vad]\nsilence_ms = 200\nthreshold = 0.9\n[profiles.p]\nvad.threshold = 0.1")
    vad = load({"vad.prefix_ms": 0}, path=path, profile="p", environ={}).config.vad
    assert vad == Vad(silence_ms=200, threshold=0.1, prefix_ms=0)


def test_the_environment_names_the_file_and_the_profile(file):
    path = file('voice = "a"\n[profiles.p]\nvoice = "b"')
    environ = {"VOICECLI_CONFIG": str(path), "VOICECLI_PROFILE": "p"}
    assert load({}, environ=environ).config.voice == "b"


def test_values_of_the_environment_are_read_as_the_type_of_their_key():
    environ = {"VOICECLI_VAD__SILENCE_MS": "250", "VOICECLI_TALK__LINGER_S": "1.5"}
    config = load({}, environ=environ).config
    assert (config.vad.silence_ms, config.talk.linger_s) == (250, 1.5)


def test_flags_that_were_not_given_change_nothing():
    assert load(dict.fromkeys(all_keys()), environ={}).config == Config()


def test_without_a_file_of_ones_own_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load({}, environ={}).config == Config()


def test_every_key_is_listed_with_its_value():
    assert next(iter(load({}, environ={}))) == Setting("server", "auto", "default")
    assert [one.key for one in load({}, environ={})] == all_keys()


# ----------------------------------------------------------------------------------- the checks


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"vad.silence_ms": -1}, ["--silence-ms", "vad.silence_ms", "-1", ">= 0"]),
        ({"vad.threshold": float("nan")}, ["vad.threshold", "nan"]),
        ({"talk.max_minutes": float("nan")}, ["talk.max_minutes", "nan"]),
        ({"vad.mode": "loud"}, ["--vad", "'loud'", "allowed: semantic, server, none"]),
        ({"audio.input_format": "mp3"}, ["--format", "'mp3'", "allowed: pcm, pcmu, pcma"]),
        ({"audio.noise_reduction": "x"}, ["--noise-reduction", "off, near_field, far_field"]),
        ({"vad.silense_ms": 1}, ["unknown key", "did you mean 'vad.silence_ms'"]),
    ],
)
def test_a_wrong_value_is_refused_with_its_origin_and_what_is_allowed(flags, told):
    text = refusal(flags)
    assert [part for part in told if part not in text] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("voice = ", "is not valid TOML"),
        ("vioce = 'a'", "did you mean 'voice'?"),
        ("vad = 3", "unknown key 'vad'"),
        ("[audio]\nmic = 3", "audio.mic = 3: expected `str`, got `int`"),
        ("[servers.x]\nmodel = 'a'", "missing required field `url`"),
        ("[servers.x]\nurl = 'ws://x'\nkey = 'sk'", "unknown field `key`"),
        ("[profiles.q]\nvoice = 'a'", "there are: q"),
        ("[profiles.p]\nvioce = 'a'", "did you mean 'voice'?"),
    ],
)
def test_a_wrong_file_is_refused_and_named(file, text, told):
    path = file(text)
    message = refusal({}, path=path, profile="p" if "profiles" in text else None)
    assert told in message
    assert str(path) in message


def test_a_wrong_value_of_the_environment_is_refused_and_the_variable_named():
    text = refusal({}, environ={"VOICECLI_VAD__THRESHOLD": "high"})
    assert "VOICECLI_VAD__THRESHOLD" in text
    assert "'high'" in text


def test_a_file_that_was_named_must_be_there_and_be_text(tmp_path):
    assert "no configuration file" in refusal({}, path=tmp_path / "none.toml")
    assert "cannot read" in refusal({}, path=tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "not valid TOML" in refusal({}, path=tmp_path / "binary.toml")


# -------------------------------------------------------------------------------- where to talk


def test_without_a_key_auto_is_the_embedded_engine_and_with_one_it_is_openai():
    assert destination(Config(), {}) == Destination("local", "", "", "", "")
    assert destination(Config(), {"OPENAI_API_KEY": " \n"}).name == "local"
    openai = destination(Config(), KEY)
    assert (openai.name, openai.url, openai.model) == ("openai", OPENAI_URL, "gpt-realtime-2.1")
    assert openai.headers(KEY) == {"Authorization": "Bearer sk-secret"}


def test_no_key_goes_to_an_address_that_was_merely_typed():
    typed = destination(Config(server="ws://somewhere/v1/realtime", model="m"), KEY)
    assert (typed.url, typed.model) == ("ws://somewhere/v1/realtime", "m")
    assert typed.headers(KEY) == {}


def test_a_server_of_ones_own_has_its_own_key_header_and_model():
    own = Server("wss://x/realtime", key_env="MY_KEY", key_header="api-key", model="deployed")
    target = destination(Config(server="mine", servers={"mine": own}), KEY)
    assert target == Destination("mine", "wss://x/realtime", "deployed", "MY_KEY", "api-key")
    assert target.headers({"MY_KEY": " k\n"}) == {"api-key": "k"}


def test_openai_can_be_said_to_be_elsewhere():
    own = {"openai": Server("wss://eu/realtime", key_env="OPENAI_API_KEY")}
    assert destination(Config(server="openai", servers=own), KEY).url == "wss://eu/realtime"


def test_the_name_of_a_server_may_hold_a_dot(file):
    path = file('server = "10.0.0.5"\n[servers."10.0.0.5"]\nurl = "ws://10.0.0.5/v1/realtime"')
    config = load({}, path=path, environ={}).config
    assert destination(config, {}).url == "ws://10.0.0.5/v1/realtime"


def test_a_key_that_stands_where_its_variable_is_to_be_named_is_not_repeated() -> None:
    target = Destination("mine", "wss://x/realtime", "", "sk-the-key-itself", "Authorization")
    with pytest.raises(ConfigError, match="not the name of an environment variable") as caught:
        target.headers({})
    assert "sk-" not in f"{caught.value.message} {caught.value.hint}"


def test_a_missing_key_is_told_before_anything_is_opened():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is empty") as caught:
        destination(Config(server="openai"), {}).headers({})
    assert "--server local" in caught.value.hint


def test_an_unknown_server_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match="'opena1'") as caught:
        destination(Config(server="opena1", servers={"mine": Server("ws://x")}), {})
    assert "openai, local, mine" in caught.value.hint


# ---------------------------------------------------------------------------- what is asked for


def test_the_defaults_are_a_spoken_talk_with_a_transcript():
    assert session_settings(Config(), is_local=False) == SessionSettings(
        turn_detection=ServerVad(silence_duration_ms=500),
        transcription_model="gpt-realtime-whisper",
    )


@pytest.mark.parametrize(
    ("vad", "is_local", "detection"),
    [
        (Vad(), True, ServerVad(silence_duration_ms=300)),
        (Vad(silence_ms=700), True, ServerVad(silence_duration_ms=700)),
        (Vad(mode="semantic", eagerness="low"), False, SemanticVad(eagerness="low")),
        (Vad(mode="none"), False, None),
        (
            Vad(threshold=0.1, prefix_ms=0, idle_timeout_ms=6000),
            False,
            ServerVad(threshold=0.1, prefix_padding_ms=0, idle_timeout_ms=6000),
        ),
    ],
)
def test_turns_end_as_the_configuration_says(vad, is_local, detection):
    assert session_settings(Config(vad=vad), is_local=is_local).turn_detection == detection


@pytest.mark.parametrize("vad", ["server", "semantic"])
@pytest.mark.parametrize("mode", ["local", "off"])
def test_where_we_decide_on_interruptions_the_server_neither_interrupts_nor_answers(mode, vad):
    config = Config(vad=Vad(mode=vad), barge_in=BargeIn(mode=mode))
    detection = session_settings(config, is_local=False).turn_detection
    assert (detection.create_response, detection.interrupt_response) == (False, False)


def test_the_rules_of_barge_in_are_those_of_the_configuration():
    assert BargeInRules(**msgspec.structs.asdict(BargeIn())) == BargeInRules()


def test_a_silence_too_short_for_the_model_to_speak_unasked_is_refused():
    with pytest.raises(ConfigError, match="idle_timeout_ms"):
        session_settings(Config(vad=Vad(idle_timeout_ms=4999)), is_local=False)


def test_everything_else_is_handed_on():
    config = Config(
        voice="cedar",
        language="de",
        transcription="whisper-1",
        instructions="Be brief.",
        audio=Audio(input_format="pcmu", output_format="pcma", noise_reduction="far_field"),
    )
    assert session_settings(config, is_local=False, tools=({"name": "f"},)) == SessionSettings(
        voice="cedar",
        language="de",
        transcription_model="whisper-1",
        instructions="Be brief.",
        input_format="pcmu",
        output_format="pcma",
        noise_reduction="far_field",
        tools=({"name": "f"},),
    )


def test_no_transcript_is_asked_for_when_it_is_off():
    assert session_settings(Config(transcription="off"), is_local=True).transcription_model is None


def test_instructions_can_be_a_file(tmp_path):
    (tmp_path / "persona.txt").write_text("  Be brief. ü\n", encoding="utf-8")
    config = Config(instructions=f"@{tmp_path}/persona.txt")
    assert session_settings(config, is_local=True).instructions == "Be brief. ü"
    with pytest.raises(ConfigError, match=r"there is no file '.*none\.txt'"):
        session_settings(Config(instructions=f"@{tmp_path}/none.txt"), is_local=True)
    with pytest.raises(ConfigError, match="cannot read the instructions") as caught:
        session_settings(Config(instructions=f"@{tmp_path}"), is_local=True)
    assert "Errno" not in caught.value.message


# ----------------------------------------------------------------------------- the example file


def example_keys(text: str) -> list[str]:
    return [*flatten(tomllib.loads(text))]


def test_the_example_has_every_key_with_its_default():
    text = EXAMPLE.read_text(encoding="utf-8")
    assert example_keys(text) == all_keys()
    assert load({}, path=EXAMPLE, environ={}).config == Config()


def test_the_example_says_of_every_key_what_it_means():
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"\w+ = ", line):
            assert before.startswith("# "), line


def test_the_examples_that_are_commented_out_are_right_and_name_every_field_of_a_server(file):
    text = re.sub(r"^#(?=[\w\[])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    config = load({}, path=file(text), profile="quiet", environ={}).config
    assert config.vad.mode == "semantic"
    assert destination(Config(server="azure", servers=config.servers)).key_header == "api-key"
    server = set(example_keys(text)) - set(all_keys())
    assert {f"servers.azure.{name}" for name in Server.__struct_fields__} <= server


def test_an_address_is_shown_without_password_and_query(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[servers.az]\nurl = "wss://u:secret@host:1/x?api-key=SECRET"\n')
    shown = {one.key: one.value for one in load({}, path=path, environ={})}
    assert shown["servers.az.url"] == "wss://host:1/x"


def test_a_profile_may_bring_servers_of_its_own(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[profiles.work]\nserver = "az"\n[profiles.work.servers.az]\nurl = "ws://h/"\n')
    effective = load({}, path=path, profile="work", environ={})
    assert effective.config.servers["az"].url == "ws://h/"
