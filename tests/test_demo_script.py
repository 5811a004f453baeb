"""Demo scripts: what they say, how they are put together, and what is told of their mistakes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecli.config import problem_with
from voicecli.demo.clauses import (
    Absent,
    Answered,
    AnsweredWithin,
    Calls,
    CallsNothing,
    Confirmed,
    Contains,
    Interrupted,
    InterruptedWithin,
    Matches,
    NoErrors,
    TruncatedWithin,
    Turns,
    WordErrors,
)
from voicecli.demo.exchanges import acts_of, spoken_at_all, spoken_in
from voicecli.demo.load import load
from voicecli.demo.positions import Positions
from voicecli.demo.script import Given, read_script
from voicecli.demo.steps import (
    AfterMs,
    AtWord,
    Expect,
    ForSeconds,
    HeardMs,
    Interrupt,
    Mute,
    Noise,
    Note,
    Place,
    Press,
    RecordedSpeech,
    Release,
    Say,
    Script,
    Set,
    Type,
    UntilAnswered,
    UntilCalled,
    UntilSaid,
    UntilState,
    Verb,
    Wait,
    WavSpeech,
    Words,
)
from voicecli.demo.variables import check_sets
from voicecli.errors import ConfigError

DOCS = Path(__file__).parent.parent / "docs" / "demos.md"


class Shelf:
    """Scripts by name; every name that ends with `.wav` or `.txt` is there as well."""

    def __init__(self, scripts: Mapping[str, str]) -> None:
        self._scripts = scripts

    def read(self, path: str) -> str:
        return self._scripts[path]

    def beside(self, name: str, source: str) -> str:
        return name

    def exists(self, path: str) -> bool:
        return path in self._scripts or path.endswith((".wav", ".txt"))


def read(
    text: str,
    *,
    sets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    **others: str,
) -> Script:
    shelf = Shelf({f"{name}.toml": script for name, script in others.items()} | {"it.toml": text})
    world = Given(shelf, problem_with, sets or {}, environ or {}, ("marin", "cedar"))
    return read_script(text, "it.toml", world)


def verbs(*steps: str, session: str = "") -> list[Verb]:
    head = f"[session]\n{session}\n" if session else ""
    text = head + "".join(f"[[step]]\n{step}\n" for step in steps)
    return [step.verb for step in read(text).steps]


def wrong(text: str, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(text, **more)
    return caught.value


# ---------------------------------------------------------------------------------- what is said

QUESTION = 'say = "What makes the tide?"'


@pytest.mark.parametrize(
    ("step", "verb"),
    [
        ('say = "Hello."', Say(Words("Hello."))),
        ('say = { text = "Hello.", voice = "cedar" }', Say(Words("Hello.", "cedar"))),
        ('say.wav = "hello.wav"', Say(WavSpeech("hello.wav"))),
        ('say = { wav = "hello.wav", text = "Hello." }', Say(WavSpeech("hello.wav", "Hello."))),
        ('say = { recording = "last", turn = 2 }', Say(RecordedSpeech("last", 2))),
        ('type = "Hello."', Type("Hello.")),
        ('press = "esc"', Press("esc")),
        ("mute = true", Mute(is_muted=True)),
        ('noise = "off"', Noise("off")),
        ('noise = "pink"', Noise("pink", 20.0)),
        ('noise = "cough"', Noise("cough", 0.0, once=True)),
        ('noise = { kind = "babble", snr_db = 5 }', Noise("babble", 5.0)),
        (
            'noise = { wav = "dog.wav", snr_db = -3, once = true }',
            Noise("wav", -3.0, "dog.wav", once=True),
        ),
        ("set = { vad.silence_ms = 300 }", Set({"vad.silence_ms": 300})),
        (
            'set.vad.mode = "none"\nset.instructions = "Be brief."',
            Set({"vad.mode": "none", "instructions": "Be brief."}),
        ),
        ('note = "Now it is cut off."', Note("Now it is cut off.")),
        ('wait = "speaking"', Wait(UntilState("speaking"))),
        ("wait = { seconds = 2 }", Wait(ForSeconds(2.0))),
        ('wait.said = "tide|moon"', Wait(UntilSaid("tide|moon"))),
        ('wait = { said = "tide", by = "user" }', Wait(UntilSaid("tide", "user"))),
        ('wait = { tool = "weather", timeout_s = 5 }', Wait(UntilCalled("weather"), 5.0)),
    ],
)
def test_each_verb_is_understood(step: str, verb: Verb) -> None:
    assert verbs(step) == [verb]


@pytest.mark.parametrize(
    ("step", "verb"),
    [
        ('wait = "answer"', Wait(UntilAnswered())),
        ('wait = { until = "answer", timeout_s = 90 }', Wait(UntilAnswered(), 90.0)),
        (
            'interrupt.say = "Stop."\ninterrupt.at_word = "moon"',
            Interrupt(Say(Words("Stop.")), AtWord("moon")),
        ),
        (
            'interrupt = { type = "Stop.", at_word = "the moon", occurrence = 2, timeout_s = 9 }',
            Interrupt(Type("Stop."), AtWord("the moon", 2), 9.0),
        ),
        (
            'interrupt = { say = { wav = "no.wav" }, heard_ms = 800 }',
            Interrupt(Say(WavSpeech("no.wav")), HeardMs(800.0)),
        ),
        (
            'interrupt = { press = "esc", after_ms = 500 }',
            Interrupt(Press("esc"), AfterMs(500.0)),
        ),
    ],
)
def test_what_needs_an_answer_is_understood_behind_an_act(step: str, verb: Verb) -> None:
    assert verbs(QUESTION, step) == [Say(Words("What makes the tide?")), verb]


def test_push_to_talk_is_held_over_steps_or_while_something_is_said() -> None:
    manual = 'vad.mode = "none"'
    assert verbs('press = "space"', QUESTION, 'release = "space"', session=manual) == [
        Press("space"),
        Say(Words("What makes the tide?")),
        Release(),
    ]
    assert verbs('press.say = "Hello."', session=manual) == [Press("space", Words("Hello."))]
    held = verbs('type = "Go."', 'interrupt = { press.say = "No.", heard_ms = 5 }', session=manual)
    assert held[1] == Interrupt(Press("space", Words("No.")), HeardMs(5.0))


@pytest.mark.parametrize(
    ("expectation", "clauses"),
    [
        ('user = "tide"', [Contains("user", "tide")]),
        ('assistant = ["tide", "the moon"]', [Contains("assistant", "tide"),
                                              Contains("assistant", "the moon")]),
        ('heard = { contains = "tide", absent = ["sun", "star"] }',
         [Contains("heard", "tide"), Absent("heard", "sun"), Absent("heard", "star")]),
        (r"assistant.regex = '\d+ (km|miles)'", [Matches("assistant", r"\d+ (km|miles)")]),
        ("user.wer_at_most = 0.1", [WordErrors("user", 0.1)]),
        ('assistant = { wer_at_most = 0, text = "The moon." }',
         [WordErrors("assistant", 0.0, "The moon.")]),
        ('tool = "weather"', [Calls("weather", {})]),
        ('tool = [{ name = "weather", arguments = { place = "Rome", day = 1 } }, "time"]',
         [Calls("weather", {"place": "Rome", "day": 1}), Calls("time", {})]),
        ("no_tool = true", [CallsNothing()]),
        ("answered = false", [Answered(wanted=False)]),
        ("answered_within_ms = 900", [AnsweredWithin(900.0)]),
        ("interrupted = true", [Interrupted(wanted=True)]),
        ("interrupted_within_ms = 300", [InterruptedWithin(300.0)]),
        ("truncated_within_ms = 20", [TruncatedWithin(20.0)]),
        ("turns = 1", [Turns(1)]),
        ("no_errors = true", [NoErrors()]),
        ('session = { voice = "marin", vad.mode = "none" }',
         [Confirmed("voice", "marin"), Confirmed("vad.mode", "none")]),
    ],
)  # fmt: skip
def test_each_expectation_is_understood_in_a_step_and_at_the_end(
    expectation: str, clauses: list[Any]
) -> None:
    in_step = "\n".join(f"expect.{line}" for line in expectation.splitlines())
    assert verbs(QUESTION, in_step)[1] == Expect(tuple(clauses))
    script = read(f"[[step]]\n{QUESTION}\n[expect]\n{expectation}\n")
    assert [step.verb for step in script.at_end] == [Expect(tuple(clauses))]


def test_each_clause_of_an_expectation_knows_its_own_line() -> None:
    script = read(
        "[[step]]\nsay = 'Hi.'\n[[step]]\nexpect.turns = 1\n\nexpect.heard.contains = [\n"
        "  'sea',\n  'tide',\n]\nexpect.heard.absent = 'sun'\n"
        "[expect]\nno_errors = true\nsession.voice = 'marin'\n"
    )
    lines = []
    for step in (script.steps[1], *script.at_end):
        assert isinstance(step.verb, Expect)
        lines.append([place.line for _, place in step.verb.placed(step.place)])
    assert lines == [[4, 7, 8, 10], [12, 13]]


def test_steps_know_where_they_stand_and_how_to_be_called() -> None:
    script = read('# Once.\n[[step]]\nsay = "Hi."\n\n[[step]]\n# Then.\nwait.seconds = 2\n')
    places = [(step.place, step.text) for step in script.steps]
    assert places == [(Place("it.toml", 3), "say 'Hi.'"), (Place("it.toml", 7), "wait seconds 2")]


def test_a_script_tells_of_itself_and_of_its_session() -> None:
    script = read(
        '[demo]\ntitle = "T"\ndescription = "D"\nuser_voice = "cedar"\nthen = "next.toml"\n'
        '[session]\nserver = "local"\nvad = { mode = "server", silence_ms = 200 }\n'
        'instructions = "@tide.txt"\n[[step]]\nsay = "Hi."\n',
        next="",
    )
    assert (script.title, script.description, script.user_voice) == ("T", "D", "cedar")
    assert script.then == "next.toml"
    assert script.session == {
        "server": "local",
        "vad.mode": "server",
        "vad.silence_ms": 200,
        "instructions": "@tide.txt",
    }


def test_every_step_stands_in_the_exchange_of_the_act_before_it() -> None:
    script = read(
        '[session]\nvad.mode = "none"\n[[step]]\nnote = "-"\n'
        '[[step]]\npress = "space"\n[[step]]\nsay = "One."\n[[step]]\nsay.wav = "two.wav"\n'
        '[[step]]\nrelease = "space"\n[[step]]\nwait = "answer"\n'
        '[[step]]\ninterrupt = { type = "Three.", heard_ms = 1 }\n[[step]]\nexpect.turns = 2\n'
    )
    assert acts_of(script.steps) == [None, 1, 1, 1, 1, 1, 6, 6]
    assert spoken_in(script.steps, 6) == "Three."
    assert spoken_in(script.steps, None) == ""
    # Nobody knows what is said in the file.
    assert spoken_in(script.steps, 1) is None
    assert spoken_at_all(script.steps) is None


# ----------------------------------------------------------------------------------- put together


def test_an_included_script_comes_first_and_gives_way() -> None:
    script = read(
        'include = ["a.toml", "b.toml"]\n[session]\nvoice = "cedar"\n[variables]\nname = "Ann"\n'
        '[[step]]\nsay = "Bye, {name}."\n[expect]\nno_errors = true\n',
        a='[demo]\ntitle = "A"\n[session]\nvoice = "ash"\nlanguage = "en"\n[variables]\n'
        'name = "Bob"\nplace = "Rome"\n[[step]]\nsay = "I am {name} of {place}."\n',
        b='include = ["c.toml"]\n[session]\nlanguage = "de"\n[variables]\nplace = "Bonn"\n'
        "[expect]\nturns = 3\n",
        c='[[step]]\nsay = "See."\n',
    )
    said = [step.verb.speech.text for step in script.steps if isinstance(step.verb, Say)]
    assert said == ["I am Ann of Bonn.", "See.", "Bye, Ann."]
    assert [str(step.place) for step in script.steps] == ["a.toml:10", "c.toml:2", "it.toml:7"]
    assert script.session == {"voice": "cedar", "language": "de"}
    assert script.title == ""
    ends = [(str(step.place), step.verb) for step in script.at_end]
    assert ends == [
        ("b.toml:6", Expect((Turns(3),))),
        ("it.toml:8", Expect((NoErrors(),))),
    ]


def test_variables_are_put_into_every_text() -> None:
    text = (
        '[demo]\ntitle = "In {place}"\n[session]\ninstructions = "Be in {place}."\n'
        '[variables]\nplace = "Rome"\nat = 800\nask = "Where is {place}, {env.USER}?"\n'
        '[[step]]\nsay = "{ask}"\n'
        '[[step]]\ninterrupt = { say = "No, {at}.", heard_ms = "{at}" }\n'
        "[[step]]\nexpect.tool.name = 'find'\n"
        "expect.tool.arguments = { where = '{place}', json = '{}' }\n"
    )
    script = read(text, environ={"USER": "Ann"})
    assert (script.title, script.session["instructions"]) == ("In Rome", "Be in Rome.")
    assert [step.verb for step in script.steps] == [
        Say(Words("Where is Rome, Ann?")),
        Interrupt(Say(Words("No, 800.")), HeardMs(800.0)),
        Expect((Calls("find", {"where": "Rome", "json": "{}"}),)),
    ]
    assert script.variables == {"place", "at", "ask"}
    changed = read(text, environ={"USER": "Ann"}, sets={"place": "{at}", "at": "250"})
    # What comes from the command line is taken as it is, but a number stays a number.
    assert changed.title == "In {at}"
    assert changed.steps[1].verb == Interrupt(Say(Words("No, 250.")), HeardMs(250.0))


def test_a_variable_that_is_not_declared_can_be_given() -> None:
    script = read('[[step]]\nsay = "{what}"\n', sets={"what": "Hello."})
    assert script.steps[0].verb == Say(Words("Hello."))


def test_braces_that_are_no_variable_are_left_alone() -> None:
    said = verbs(r"expect.user.regex = '\w{2,3} {{name}} {{{name}}} {} { x }'")
    assert said == [Expect((Matches("user", r"\w{2,3} {name} {{name}} {} { x }"),))]


def test_a_variable_from_the_command_line_must_be_one_of_some_script() -> None:
    one = read('[variables]\nplace = "Rome"\n[[step]]\nsay = "Hi."\n')
    other = read('[[step]]\nsay = "{what}"\n', sets={"what": "a"})
    check_sets({"place": "x", "what": "y"}, [one.variables, other.variables])
    with pytest.raises(ConfigError) as caught:
        check_sets({"plase": "x"}, [one.variables, other.variables])
    assert caught.value.message == "--set plase: no script has such a variable"
    assert caught.value.hint == "did you mean 'place'?"


def test_scripts_are_loaded_with_what_stands_beside_them(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "hello.wav").write_bytes(b"")
    (tmp_path / "be.txt").write_text("Be brief.")
    (tmp_path / "more" / "intro.toml").write_text('[[step]]\nsay.wav = "hello.wav"\n')
    (tmp_path / "second.toml").write_text('[[step]]\nsay = "{env.WHO}"\n')
    (tmp_path / "first.toml").write_text(
        'include = ["more/intro.toml"]\n[demo]\nthen = "second.toml"\n'
        '[session]\ninstructions = "@be.txt"\n[[step]]\ntype = "Hi."\n'
    )
    first, second = load(tmp_path / "first.toml", check=problem_with, environ={"WHO": "Ann"})
    wav = str(tmp_path / "more" / "hello.wav")
    assert [step.verb for step in first.steps] == [Say(WavSpeech(wav)), Type("Hi.")]
    assert first.session == {"instructions": f"@{tmp_path / 'be.txt'}"}
    assert second.steps[0].verb == Say(Words("Ann"))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes("[demo]\ntitle = 'Grüße'\n".encode("latin-1"))
    told = []
    for path in (tmp_path / "none.toml", tmp_path, latin):
        with pytest.raises(ConfigError) as caught:
            load(path, check=problem_with)
        told.append(caught.value.message.replace(str(tmp_path), "."))
    assert told[0] == "there is no script './none.toml'"
    assert re.match(r"cannot read '.': ", told[1])
    assert told[2] == "'./latin.toml' is no text in UTF-8: invalid start byte"


def test_scripts_that_follow_each_other_for_ever_are_refused(tmp_path: Path) -> None:
    for name, then in (("a", "b"), ("b", "a")):
        text = f'[demo]\nthen = "{then}.toml"\n[[step]]\nsay = "Hi."\n'
        (tmp_path / f"{name}.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"b.toml: demo.then: '.*a.toml' was played already"):
        load(tmp_path / "a.toml", check=problem_with)


# -------------------------------------------------------------------------------------- mistakes

SAY = f"[[step]]\n{QUESTION}\n"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        # The file.
        (SAY + 'say = "Well?"\n', "it.toml:3: step 1: say is given twice",
         "it is in line 2 already"),
        (SAY + "[step]\nsay = 'Hi.'\n", "it.toml:3: step 1 is given twice",
         "it is in line 1 already; a list of tables has two brackets: [[step]]"),
        ("[demo]\ntitle = 'a'\n[session]\n[demo]\n", "it.toml:4: demo is given twice",
         "it is in line 1 already"),
        ("[demo]\ntitle = 'Nothing'\n", "it.toml:1: the script has no steps", "[[step]]"),
        # Tables and keys.
        ("[sesion]\n" + SAY, "it.toml:1: sesion: unknown; did you mean 'session'?",
         "allowed are include, demo, session, variables, step and expect"),
        ("[step]\nsay = 'Hi.'\n", "it.toml:1: step: is one table, and steps are a list",
         "[[step]]"),
        ("[demo]\ntitel = 'x'\n" + SAY, "it.toml:2: demo.titel: unknown; did you mean 'title'?",
         "title, description, user_voice and then"),
        ("[demo]\ninclude = ['a.toml']\n" + SAY,
         "it.toml:2: demo.include: stands above the first table", "include ="),
        ("demo = 3\n" + SAY, "it.toml:1: demo: 3 is no table", "a table with title"),
        # Verbs.
        ("[[step]]\nsya = 'Hi.'\n", "it.toml:2: step 1: sya: is no verb; did you mean 'say'?",
         "say, type, wait, interrupt, press, release, mute, noise, set, note or expect"),
        (SAY + "[[step]]\nsay = 'Hi.'\nwait = 'answer'\n",
         "it.toml:5: step 2: wait: a step has one verb, and this has say and wait",
         "another [[step]]"),
        (SAY + "[[step]]\n", "it.toml:3: step 2: does nothing", "say, type"),
        ("step = ['say']\n", "it.toml:1: step 1: 'say' is no table", "it is a table"),
        # Values.
        ("[[step]]\n\nsay = '" + "a" * 4001 + "'\n",
         "it.toml:3: step 1: say: is 4001 characters long, and the local voice takes 4000",
         "more than one step"),
        ("[[step]]\nsay = 3\n", "it.toml:2: step 1: say: 3 is no text", "in quotes"),
        ("[[step]]\nsay = ' '\n", "it.toml:2: step 1: say: there is nothing in the text", ""),
        ("[[step]]\nsay = '?!'\n", "it.toml:2: step 1: say: there is nothing to speak in '?!'", ""),
        ("[[step]]\nsay = { voice = 'cedar' }\n",
         "it.toml:2: step 1: say: says nothing: it has a text, a wav or a recording", "text"),
        ("[[step]]\nsay = { wav = 'a.wav', recording = 'last' }\n",
         "it.toml:2: step 1: say: has wav and recording at the same time", "wav or recording"),
        ("[[step]]\nsay = { recording = 'last' }\n",
         "it.toml:2: step 1: say: does not tell which turn of the recording", "turn = 1"),
        ("[[step]]\nsay = { recording = 'last', turn = 0 }\n",
         "it.toml:2: step 1: say.turn: 0 is out of range", "a whole number from 1 to 1000"),
        ("[[step]]\nsay = { text = 'Hi.', voice = 'ceder' }\n",
         "it.toml:2: step 1: say.voice: 'ceder' is not known; did you mean 'cedar'?",
         "marin or cedar"),
        ("[[step]]\nsay = { wav = 'a.wav', voice = 'cedar' }\n",
         "it.toml:2: step 1: say.voice: is for what the local voice speaks, not for a recorded one",
         ""),
        ("[[step]]\nsay = { text = 'a', turn = 1 }\n",
         "it.toml:2: step 1: say.turn: is of a recording, and none is named", ""),
        ("[[step]]\nsay.wav = 'hello.mp3'\n",
         "it.toml:2: step 1: say.wav: there is no file 'hello.mp3'", "beside the script"),
        ("[[step]]\nmute = 'yes'\n",
         "it.toml:2: step 1: mute: 'yes' is neither true nor false", ""),
        ("[[step]]\npress = 'enter'\n",
         "it.toml:2: step 1: press: 'enter' is not known", "it is space or esc"),
        ("[[step]]\npress = {}\n", "it.toml:2: step 1: press: presses nothing", "space"),
        # Waits, moments and their units.
        (SAY + "[[step]]\nwait = 'anser'\n",
         "it.toml:4: step 2: wait: 'anser' is not known; did you mean 'answer'?",
         "it is answer, listening, hearing, thinking or speaking"),
        (SAY + "[[step]]\nwait = 2\n", "it.toml:4: step 2: wait: 2 has no unit",
         "wait.seconds = 2"),
        (SAY + "[[step]]\nwait.ms = 200\n", "it.toml:4: step 2: wait.ms: unknown", "seconds"),
        (SAY + "[[step]]\nwait = { timeout_s = 2 }\n",
         "it.toml:4: step 2: wait: does not tell for what", "until, seconds, said or tool"),
        (SAY + "[[step]]\nwait = { seconds = 2, timeout_s = 2 }\n",
         "it.toml:4: step 2: wait.timeout_s: means nothing where a time is waited for", ""),
        (SAY + "[[step]]\nwait = { until = 'answer', by = 'user' }\n",
         "it.toml:4: step 2: wait.by: tells whose words are meant, and none are looked for: "
         "said = …", ""),
        (SAY + "[[step]]\nwait.seconds = 9000\n",
         "it.toml:4: step 2: wait.seconds: 9000 is out of range", "0 to 3600 seconds"),
        (SAY + "[[step]]\nwait.seconds = nan\n",
         "it.toml:4: step 2: wait.seconds: nan is out of range", ""),
        (SAY + "[[step]]\nwait.said = '(tide'\n",
         "it.toml:4: step 2: wait.said: '(tide' is no regular expression: missing ), unterminated "
         "subpattern at position 0", "single quotes"),
        (SAY + "[[step]]\ninterrupt = { say = 'No.', heard_s = 0.8 }\n",
         "it.toml:4: step 2: interrupt.heard_s: unknown; did you mean 'heard_ms'?", "after_ms"),
        (SAY + "[[step]]\ninterrupt = { say = 'No.', heard_ms = '800 ms' }\n",
         "it.toml:4: step 2: interrupt.heard_ms: '800 ms' is no number",
         "0 to 600000 milliseconds"),
        (SAY + "[[step]]\ninterrupt = { say = 'No.' }\n",
         "it.toml:4: step 2: interrupt: does not tell when", "at_word, heard_ms or after_ms"),
        (SAY + "[[step]]\ninterrupt = { at_word = 'a' }\n",
         "it.toml:4: step 2: interrupt: says nothing", "say, type or press"),
        (SAY + "[[step]]\ninterrupt = { say = 'a', heard_ms = 1, after_ms = 1 }\n",
         "it.toml:4: step 2: interrupt: has heard_ms and after_ms at the same time", ""),
        (SAY + "[[step]]\ninterrupt = { say = 'a', heard_ms = 1, occurrence = 2 }\n",
         "it.toml:4: step 2: interrupt.occurrence: is of a word, and at_word is not there", ""),
        (SAY + "[[step]]\ninterrupt = { press = 'space', heard_ms = 1 }\n",
         "it.toml:4: step 2: interrupt.press: push to talk needs something to say: "
         'press.say = "…"', ""),
        # Noise and settings.
        ("[[step]]\nnoise.kind = 'brown'\n",
         "it.toml:2: step 1: noise.kind: 'brown' is not known",
         "white, pink, babble or cough"),
        ("[[step]]\nnoise = { kind = 'pink', once = true }\n",
         "it.toml:2: step 1: noise.once: a cough is heard once, other noise goes on", ""),
        ("[[step]]\nnoise = { snr_db = 3 }\n",
         "it.toml:2: step 1: noise: does not tell what is to be heard", "kind or wav"),
        ("[session]\nvoise = 'marin'\n" + SAY, "it.toml:2: session.voise: unknown key",
         "did you mean 'voice'?"),
        ("[session]\nvad.mode = 'sever'\n" + SAY,
         "it.toml:2: session.vad.mode: 'sever': invalid enum value 'sever'",
         "allowed: semantic, server, none"),
        ("[session]\naudio.mic = 'a.wav'\n" + SAY,
         "it.toml:2: session.audio.mic: is for whoever plays the script to decide", ""),
        ("[session]\ninstructions = '@be.md'\n" + SAY,
         "it.toml:2: session.instructions: there is no file 'be.md'", ""),
        ("[[step]]\nset.audio.output_format = 'pcmu'\n",
         "it.toml:2: step 1: set.audio.output_format: cannot be changed while a session goes on: "
         "it belongs into [session]", "then"),
        ("[[step]]\nset = {}\n", "it.toml:2: step 1: set: changes nothing", "vad.mode"),
        # Variables.
        ("[variables]\nplace = 'Rome'\n[[step]]\nsay = 'Is it {plase}?'\n",
         "it.toml:4: step 1: say: there is no variable 'plase'; did you mean 'place'?",
         "declare it in [variables], give it by --set plase=…, or write {{plase}}"),
        ("[[step]]\nsay = '{env.HOME}'\n",
         "it.toml:2: step 1: say: the environment variable HOME is not set", ""),
        ("[[step]]\nsay = '{env.OPENAI_API_KEY}'\n",
         "it.toml:2: step 1: say: OPENAI_API_KEY looks like the name of a secret, "
         "and what a script says is no secret", ""),
        ("[variables]\na = '{b}'\nb = '{a}'\n[[step]]\nsay = '{a}'\n",
         "it.toml:2: variables.a: the variable 'a' is made of itself", ""),
        ("[variables]\n1a = 'x'\n" + SAY,
         "it.toml:2: variables.1a: '1a' cannot be the name of a variable", "letters"),
        ("[variables]\na = ['x']\n" + SAY,
         "it.toml:2: variables.a: a list cannot be a variable", "a text, a number"),
        # Expectations.
        (SAY + "[[step]]\nexpect.asistant = 'x'\n",
         "it.toml:4: step 2: expect.asistant: unknown; did you mean 'assistant'?", "no_errors"),
        (SAY + "[[step]]\nexpect = {}\n", "it.toml:4: step 2: expect: expects nothing", "user"),
        (SAY + "[[step]]\nexpect.user = {}\n", "it.toml:4: step 2: expect.user: expects nothing",
         "contains"),
        (SAY + "[[step]]\nexpect.user.containing = 'x'\n",
         "it.toml:4: step 2: expect.user.containing: unknown; did you mean 'contains'?", "absent"),
        (SAY + "[[step]]\nexpect.user.contains = []\n",
         "it.toml:4: step 2: expect.user.contains: the list is empty", ""),
        (SAY + "[[step]]\nexpect.user = '...'\n",
         "it.toml:4: step 2: expect.user: there is no word in the text", "regex"),
        (SAY + "[[step]]\nexpect.assistant.regex = ['ok', '*']\n",
         "it.toml:4: step 2: expect.assistant.regex[1]: '*' is no regular expression: nothing to "
         "repeat at position 0", ""),
        (SAY + "[[step]]\nexpect.assistant.wer_at_most = 0.1\n",
         "it.toml:4: step 2: expect.assistant.wer_at_most: needs to know what should be said"
         .replace(".wer_at_most: needs", ": wer_at_most needs"), "text ="),
        (SAY + "[[step]]\nexpect.user.text = 'a'\n",
         "it.toml:4: step 2: expect.user.text: is for word errors, and there is no wer_at_most",
         ""),
        ("[[step]]\nsay.wav = 'a.wav'\n[[step]]\nexpect.user.wer_at_most = 0.1\n",
         "it.toml:4: expect.user.wer_at_most: the script does not tell what is said here",
         "text ="),
        (SAY + "[[step]]\nexpect.answered_within_s = 1\n",
         "it.toml:4: step 2: expect.answered_within_s: unknown; did you mean "
         "'answered_within_ms'?", ""),
        (SAY + "[[step]]\nexpect.no_errors = false\n",
         "it.toml:4: step 2: expect.no_errors: false is not true", "leave it out"),
        (SAY + "[[step]]\nexpect.turns = 1.5\n",
         "it.toml:4: step 2: expect.turns: 1.5 is no whole number", ""),
        (SAY + "[[step]]\nexpect.tool = { arguments = { a = 1 } }\n",
         "it.toml:4: step 2: expect.tool: has no name", "name ="),
        (SAY + "[[step]]\nexpect.tool = { name = 'f', arguments = { day = 2024-01-01 } }\n",
         "it.toml:4: step 2: expect.tool.arguments.day: 2024-01-01 is nothing that JSON has",
         "as a text"),
        (SAY + "[expect]\nsession.vad.silence = 300\n",
         "it.toml:4: expect.session.vad.silence: a server does not confirm it; "
         "did you mean 'vad.silence_ms'?", "it confirms model"),
        (SAY + "[[step]]\nexpect.session.vad.mode = 'sever'\n",
         "it.toml:4: expect.session.vad.mode: 'sever': invalid enum value 'sever'",
         "allowed: semantic, server, none"),
        # What does not fit together.
        (SAY + "[[step]]\ninterrupt = { press = 'esc', heard_ms = 1 }\n"
         "[[step]]\nwait = 'answer'\n",
         "it.toml:6: wait: the key that interrupts is not answered", "listening"),
        ("[[step]]\ninterrupt = { say = 'No.', heard_ms = 1 }\n",
         "it.toml:2: interrupt: nothing was said before that could be answered", ""),
        ("[[step]]\nwait = 'answer'\n",
         "it.toml:2: wait: nothing was said before that could be answered", ""),
        ("[[step]]\nrelease = 'space'\n", "it.toml:2: release: nothing is pressed", "press"),
        ("[[step]]\npress = 'space'\n",
         "it.toml:2: press: there is no push to talk in this session", 'vad.mode = "none"'),
        ("[session]\nvad.mode = 'none'\n[[step]]\npress = 'space'\n",
         "it.toml:4: press: is never released", "release"),
        ("[session]\nvad.mode = 'none'\n[[step]]\npress = 'space'\n[[step]]\npress.say = 'Hi.'\n",
         "it.toml:6: press: it is held already", "release"),
        ("[[step]]\nset.vad.mode = 'none'\n" + SAY,
         "it.toml:4: say: nobody hears it, for push to talk is not held", "press.say"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(
    text: str, message: str, hint: str
) -> None:
    error = wrong(text)
    assert error.message == message
    assert hint in error.hint
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("say = ", "it.toml:1: not TOML: ", ", in 'say ='"),
        ('[[step]]\nsay = "Hi\n\n', "it.toml:2: not TOML: ", ", in 'say = \"Hi'"),
        ("[[step]]\nsay = '''\nHi.\n", "it.toml:3: not TOML: ", ", in 'Hi.'"),
        ("\n[[step]\n", "it.toml:2: not TOML: ", ", in '[[step]'"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(text: str, begins: str, ends: str) -> None:
    error = wrong(text)
    assert (error.message[: len(begins)], error.message[-len(ends) :]) == (begins, ends)
    assert error.hint == "docs/demos.md describes the format"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("[" * 5000 + "]" * 5000, "it is nested too deeply"),
        ("9" * 5000, "a number is too long"),
    ],
)
def test_what_the_parser_has_no_room_for_is_told_with_its_line(value: str, told: str) -> None:
    error = wrong(f"{SAY}[[step]]\nwait.seconds = {value}\n[[step]]\nmute = true\n")
    assert error.message == f"it.toml:4: {told}"


def test_a_mistake_in_an_included_script_names_its_file() -> None:
    error = wrong('include = ["a.toml"]\n', a="\n[[step]]\nsya = 'Hi.'\n")
    assert error.message == "a.toml:3: step 1: sya: is no verb; did you mean 'say'?"
    error = wrong('include = [\n"a.toml",\n"b.toml",\n]\n', a="")
    assert error.message == "it.toml:3: include[1]: there is no file 'b.toml'"


def test_a_script_that_includes_itself_is_refused_with_the_whole_way() -> None:
    error = wrong('include = ["a.toml"]\n', a='include = ["b.toml"]\n', b='include = ["a.toml"]\n')
    assert error.message == (
        "b.toml:1: include: a script cannot include itself: a.toml → b.toml → a.toml"
    ).replace("include:", "include[0]:", 1)
    error = wrong('include = "it.toml"\n')
    assert error.message == (
        "it.toml:1: include: a script cannot include itself: it.toml → it.toml"
    )


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"at": "soon"}, "--set at: 'soon' is not a number"),
        ({"loud": "yes"}, "--set loud: 'yes' is not true or false"),
    ],
)
def test_a_variable_keeps_its_kind(sets: dict[str, str], message: str) -> None:
    text = '[variables]\nat = 5\nloud = true\n[[step]]\nsay = "{at} {loud}"\n'
    error = wrong(text, sets=sets)
    assert error.message == message
    assert "as it is in it.toml:" in error.hint
    said = read(text, sets={"at": "5.5", "loud": "FALSE"}).steps[0].verb
    assert said == Say(Words("5.5 false"))


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    assert read("\ufeff[[step]]\r\nsay = 'Hi.'\r\n").steps[0].verb == Say(Words("Hi."))
    error = wrong("\ufeff[[step]]\r\n\r\nsya = 'Hi.'\r\n")
    assert error.message.startswith("it.toml:3: ")


# ------------------------------------------------------------------------------- where things are


def paths_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        yield (*path, key)
        if isinstance(one, dict | list):
            yield from paths_in(one, (*path, key))


ALL_SORTS = """# [not.a] = table
include = [ # ]
  "a # b", '''
]
''',
  [1, [2]], { b.c = "}" }, # {
]
"quoted key".'x y' = 1979-05-27 07:32:01
[demo]
title = \"\"\"
[[step]]
say = "quoted \\" text" \"\"\"\"\"
text = \"\"\"\"\"\"
[[step]]
say = { wav = "[", "deep" = { x = [ { y = 1 }, { y = 2 } ] } }
[step.expect.user]
contains = ['''it's''''', "=", '']
[[step]]
[[step.inner]]
a = 0x1F
[[step.inner]]
a = -inf
[step.inner.more]
b = true
[demo.then]
x = 1
"""


def test_everything_in_a_file_is_found_in_its_line() -> None:
    positions = Positions(ALL_SORTS)
    lines = ALL_SORTS.splitlines()
    found = {path: positions.line(path) for path in paths_in(tomllib.loads(ALL_SORTS))}
    first = {"include": 2, "demo": 9, "step": 14}
    assert {key: found[key,] for key in first} == first
    assert found["quoted key", "x y"] == 8
    assert found["include", 2, 1, 0] == found["include", 3, "b", "c"] == 6
    assert lines[found["step", 0, "say", "deep", "x", 1, "y"] - 1].startswith("say = { wav")
    assert lines[found["step", 0, "expect", "user", "contains", 2] - 1].startswith("contains")
    assert lines[found["step", 1, "inner", 1, "a"] - 1] == "a = -inf"
    assert lines[found["step", 1, "inner", 1, "more", "b"] - 1] == "b = true"
    assert lines[found["demo", "then", "x"] - 1] == "x = 1"
    assert positions.twice == []


@given(st.text(alphabet="ab=.,[]{}\"'#\\ \n", max_size=60))
def test_a_text_that_is_no_toml_is_scanned_to_an_end(text: str) -> None:
    positions = Positions(text)
    try:
        read_in = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert positions.twice == []
    for path in paths_in(read_in):
        key = str(path[-1])
        line = text.split("\n")[positions.line(path) - 1]
        # Only what stands in several lines may be elsewhere; a key never is.
        assert not isinstance(path[-1], str) or key in line or not key


def test_the_scripts_in_the_documentation_are_right() -> None:
    blocks = re.findall(r"^```toml\n(.+?)^```$", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        assert read(block).steps


def test_the_mistake_in_the_documentation_is_told_like_that() -> None:
    told = re.search(r"^voicecli: tide.toml:9: (.+)\n  (.+)$", DOCS.read_text("utf-8"), re.M)
    assert told is not None
    text = '[[step]]\nsay = "Hi."\n\n\n[[step]]\nwait.until = "answer"\n\n\nwait.timout_s = 2\n'
    error = wrong(text)
    assert (error.message, error.hint) == (f"it.toml:9: {told[1]}", told[2])
