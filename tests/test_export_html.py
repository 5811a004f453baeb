"""The page of a recording: what is in it, and what it does in a browser."""

import base64
import hashlib
import io
import json
import re
import sys
import wave
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers_browser import Browser, find_browser
from helpers_recording import Exchange, Maker
from msgspec.structs import replace

from voicecli.recording.export import html
from voicecli.recording.export.mixdown import mixdown
from voicecli.recording.export.pages import html_chunks
from voicecli.recording.export.talk import Call, Talk, talk_of
from voicecli.recording.files import Recording
from voicecli.recording.fold import Fold
from voicecli.recording.heard import HeardAudio

TURNS = [Exchange(1.0, 3000), Exchange(8.0, 4000), Exchange(11.5, 2000)]
"The third cuts off the answer to the second."
SECONDS = 20.0
HOSTILE = (
    "</script><script>owned()</script><img src=x onerror=owned()>\" onload='owned()' "
    "<!--audio--> <style>*{}</style> $rows &lt; \u2028\u202e end"
)


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    return Maker(tmp_path_factory.mktemp("recordings") / "talk").talk(SECONDS, TURNS)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A talk in which everybody says what must never become a part of the page."""
    path = Maker(tmp_path_factory.mktemp("recordings") / "<b>bad</b>").talk(SECONDS, TURNS)
    events = path / "events.jsonl"
    said = json.dumps(HOSTILE)[1:-1].encode()
    text = events.read_bytes()
    for words in (b"what makes the tide come in", b"comes", b'"made'):
        text = text.replace(words, b'"' + said if words.startswith(b'"') else said)
    note = json.dumps([5.0, "noticed", HOSTILE, "note"]).encode()
    lines = text.splitlines(keepends=True)
    late = next(at for at, line in enumerate(lines) if line.startswith(b"[5."))
    lines.insert(late, note + b"\n")
    events.write_bytes(b"".join(lines))
    return path


def page_of(path: Path) -> str:
    with Recording.open(path) as recording:
        return b"".join(html_chunks(recording)).decode()


def facts_of(path: Path) -> Talk:
    with Recording.open(path) as recording:
        return talk_of(recording)


class Outline(HTMLParser):
    """The elements of a page: name, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], str]] = []
        "The text is what comes before the next element, or the end of this one."
        self.text = ""
        self._is_inside = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), ""))
        self._is_inside = True

    def handle_endtag(self, tag):
        self._is_inside = False

    def handle_data(self, data):
        self.text += data
        if self._is_inside:
            tag, attributes, text = self.elements[-1]
            self.elements[-1] = tag, attributes, text + data

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attributes, text)
            for name, attributes, text in self.elements
            if name == tag
            and all(value in (attributes.get(key) or "").split() for key, value in wanted.items())
        ]


def classed(outline: Outline, tag: str, name: str) -> list[tuple[dict[str, str | None], str]]:
    return outline.all(tag, **{"class": name})


def data_in(outline: Outline) -> dict:
    return json.loads(outline.all("script", id="data")[0][1])


def sound_in(outline: Outline) -> bytes:
    return b"".join(base64.b64decode(text) for _, text in classed(outline, "script", "sound"))


# ----------------------------------------------------------------------------- what is in the page


def test_there_is_a_row_for_everything_that_was_said(talk: Path):
    outline, said = Outline(page_of(talk)), facts_of(talk).rows
    rows = classed(outline, "li", "row")
    assert [row["data-speaker"] for row, _ in rows] == [
        {"user": "you"}.get(row.speaker, row.speaker) for row in said
    ]
    assert [float(row["data-from"]) for row, _ in rows] == pytest.approx(
        [row.begins_at for row in said], abs=0.001
    )


def test_words_that_were_not_heard_are_struck_through_and_called_so(talk: Path):
    outline = Outline(page_of(talk))
    [cut] = [row for row in facts_of(talk).rows if row.interrupted]
    assert [text for _, text in classed(outline, "del", "unheard")] == [cut.unheard_text]
    assert "[not heard:]" in outline.text
    assert f"{cut.heard_text} [not heard:]" in outline.text


def test_the_head_tells_server_model_date_and_totals(talk: Path):
    outline, summary = Outline(page_of(talk)), facts_of(talk).summary
    names = [text for _, text in outline.all("dt")]
    values = [text for _, text in outline.all("dd")]
    facts = dict(zip(names, values, strict=True))
    assert facts["Server"] == "made"
    assert facts["Turns"] == str(summary.turns)
    assert facts["Interruptions"] == "1"
    assert facts["Tokens"] == str(summary.total_tokens)
    assert "1 Jan 2026, 00:00 UTC" in outline.text


def test_waits_interruptions_and_turns_are_marked_where_they_were(talk: Path):
    data, facts = data_in(Outline(page_of(talk))), facts_of(talk)
    answers = [row for row in facts.rows if row.speaker == "assistant"]
    assert [wait["ms"] for wait in data["waits"]] == [row.latency.first_sound_ms for row in answers]
    for wait, row in zip(data["waits"], answers, strict=True):
        assert wait["to"] == pytest.approx(row.begins_at, abs=0.001)
        assert wait["to"] - wait["from"] == pytest.approx(wait["ms"] / 1000, abs=0.002)
    [cut] = data["cuts"]
    [cut_row] = [row for row in answers if row.interrupted]
    assert cut["at"] == pytest.approx(cut_row.ends_at, abs=0.001)
    assert 0 < cut["unheard"] <= (cut_row.received_ms - cut_row.heard_ms) / 1000
    assert [span["speaker"] for span in data["spans"]] == ["user", "assistant"] * 3


def test_the_picture_shows_each_side_where_it_sounded(talk: Path):
    data, facts = data_in(Outline(page_of(talk))), facts_of(talk)
    for side in ("user", "assistant"):
        peaks = base64.b64decode(data["peaks"][side])
        assert len(peaks) * data["step"] == pytest.approx(facts.facts.seconds, abs=0.05)
        sounding = {round(at * 0.02, 2) for at, peak in enumerate(peaks) if peak > 5}
        rows = [row for row in facts.rows if row.speaker == side]
        assert sounding
        for at in sounding:
            assert any(row.begins_at - 0.4 <= at <= row.ends_at + 0.4 for row in rows)


def test_the_sound_is_exactly_what_was_heard(talk: Path):
    soundfile = pytest.importorskip("soundfile")
    outline = Outline(page_of(talk))
    assert data_in(outline)["sound"] == "audio/flac"
    samples, rate = soundfile.read(io.BytesIO(sound_in(outline)), dtype="int16")
    with Recording.open(talk) as recording:
        assert samples.tobytes() == b"".join(mixdown(recording, "stereo"))
        heard, pieces = HeardAudio(), []
        for step in Fold(recording).steps():
            pieces += heard.step(step)
    assert rate == 24_000
    first = next(one for one in pieces if one.side == "assistant")
    assert samples[first.position : first.end, 1].tobytes() == first.pcm


def test_without_the_library_for_flac_the_sound_is_wav(talk: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    outline = Outline(page_of(talk))
    assert data_in(outline)["sound"] == "audio/wav"
    with wave.open(io.BytesIO(sound_in(outline))) as wav, Recording.open(talk) as recording:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 24_000)
        assert wav.readframes(wav.getnframes()) == b"".join(mixdown(recording, "stereo"))


def test_a_recording_without_sound_makes_a_page_without_sound(tmp_path: Path):
    path = Maker(tmp_path / "talk", audio="none").talk(SECONDS, TURNS)
    outline = Outline(page_of(path))
    assert data_in(outline)["sound"] is None
    assert sound_in(outline) == b""
    assert "No sound was kept." in outline.text
    assert len(classed(outline, "li", "row")) == 6


def test_calls_typed_words_and_answers_that_nobody_heard_have_their_rows(talk: Path):
    facts = facts_of(talk)
    user, answer = facts.rows[0], facts.rows[1]
    call = Call(
        call_id="c", name="<i>turn_on", arguments='{"lamp": "<b>"}', output=HOSTILE, failed=True
    )
    rows = [
        replace(user, by="text", is_spoken=False, text="good evening", heard_text="good evening"),
        replace(answer, speaker="tool", text="", call=call, latency=None, runs=[]),
        replace(user, text="", heard_text=""),
        replace(answer, begins_at=None, ends_at=None, runs=[], interrupted=True, latency=None,
                heard_text="", unheard_text="never mind", heard_ms=0),
    ]  # fmt: skip
    page = b"".join(html.page_of(replace(facts, rows=rows), {}, None)).decode()
    outline = Outline(page)
    shown = [attributes for attributes, _ in classed(outline, "li", "row")]
    assert ["data-from" in attributes for attributes in shown] == [True, True, True, False]
    chips = [text for _, text in classed(outline, "span", "chip")]
    assert [chip for chip in chips if not chip.startswith(("answered", "cut off"))] == [
        "typed", "failed",
    ]  # fmt: skip
    assert outline.all("code")[0][1] == "<i>turn_on"
    assert "nothing was understood" in outline.text
    assert not {"i", "b", "img"} & {tag for tag, _, _ in outline.elements}
    data = data_in(outline)
    assert [span["speaker"] for span in data["spans"]] == ["user"]
    assert data["cuts"] == []


def test_a_talk_that_ended_suddenly_says_so(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(8.0, TURNS[:1])
    events = path / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-100])
    assert "The recording ended suddenly" in Outline(page_of(path)).text


def test_nothing_that_was_said_becomes_a_part_of_the_page(hostile: Path, talk: Path):
    bad, good = Outline(page_of(hostile)), Outline(page_of(talk))

    def kinds(outline: Outline) -> list[str]:
        return [tag for tag, _, _ in outline.elements if tag not in ("li", "span", "p", "div")]

    expected = kinds(good)
    # Of the note there is a row more.
    assert sorted(kinds(bad)) == sorted([*expected, "button"])
    for tag, attributes, _ in bad.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
    assert bad.text.count("owned()</script>") >= 7
    assert "\u202e" not in bad.text
    data_in(bad)


def test_data_in_the_page_is_no_html_and_still_the_same_data():
    text = html._json([HOSTILE])
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == [HOSTILE]


def test_only_the_pages_own_script_and_style_may_run_and_nothing_may_be_fetched(hostile: Path):
    page = page_of(hostile)
    outline = Outline(page)
    [policy] = [
        str(attributes["content"])
        for attributes, _ in outline.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["media-src"] == "blob:"
    for kind, tag in (("script-src", "script"), ("style-src", "style")):
        [text] = [text for attributes, text in outline.all(tag) if not attributes]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[kind] == f"'sha256-{digest}'"
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_the_page_comes_in_pieces_however_long_the_sound_is(tmp_path: Path):
    path = Maker(tmp_path / "talk").talk(240.0)
    with Recording.open(path) as recording:
        sizes = [len(chunk) for chunk in html_chunks(recording)]
    assert len(sizes) > 3
    assert max(sizes) < 1_100_000


# ------------------------------------------------------------------------------ what a browser does


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on the path, and none named by CHROMIUM")
    with Browser(program, tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture
def opened(browser: Browser, talk: Path, tmp_path: Path) -> Browser:
    return open_page(browser, talk, tmp_path)


def open_page(browser: Browser, path: Path, folder: Path, *, sounds: bool = True) -> Browser:
    page = folder / "page.html"
    page.write_text(page_of(path), "utf-8")
    browser.messages.clear()
    browser.requests.clear()
    browser.resize(1000, 900)
    browser.open(page.as_uri())
    if sounds:
        browser.wait_for(f"{AUDIO}.readyState >= 1")
    browser.evaluate(NEXT_FRAME)
    return browser


AUDIO = "document.getElementById('audio')"
NEXT_FRAME = "new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
LIT = "[...document.querySelectorAll('.row.lit')].map((row) => row.dataset.speaker)"


def time_in(browser: Browser) -> float:
    return browser.evaluate(f"{AUDIO}.currentTime")


def test_it_opens_without_a_word_on_the_console_and_asks_nothing_of_the_network(opened: Browser):
    assert opened.messages == []
    assert opened.requests == []
    assert opened.evaluate("document.querySelectorAll('.row').length") == 6
    assert opened.evaluate(f"{AUDIO}.duration") == pytest.approx(SECONDS, abs=0.1)


def test_a_click_on_a_row_plays_from_there_and_lights_it(opened: Browser):
    begin = float(opened.evaluate("document.querySelectorAll('.row')[3].dataset.from"))
    opened.click(".row:nth-child(4) .who")
    opened.wait_for(f"{AUDIO}.currentTime > {begin + 0.2}")
    assert time_in(opened) < begin + 3
    assert opened.evaluate(f"!{AUDIO}.paused")
    opened.evaluate(NEXT_FRAME)
    assert opened.evaluate(LIT) == ["assistant"]
    assert opened.evaluate("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    opened.press(" ", " ")
    assert opened.evaluate(f"{AUDIO}.paused")


def test_the_keys_seek_step_and_change_the_speed(opened: Browser):
    opened.press("ArrowRight")
    assert time_in(opened) == pytest.approx(5.0, abs=0.05)
    opened.press("ArrowLeft")
    assert time_in(opened) == pytest.approx(0.0, abs=0.05)
    opened.press("ArrowDown")
    opened.press("ArrowDown")
    second = float(opened.evaluate("document.querySelectorAll('.row')[1].dataset.from"))
    assert time_in(opened) == pytest.approx(second, abs=0.05)
    opened.press("+", "+")
    assert opened.evaluate(f"{AUDIO}.playbackRate") == 1.25
    opened.press("End")
    assert time_in(opened) == pytest.approx(SECONDS, abs=0.1)
    opened.press("?", "?")
    assert opened.evaluate("document.getElementById('keys').open")


def test_a_click_on_the_picture_seeks(opened: Browser):
    opened.click("#lanes")
    shown = opened.evaluate("document.getElementById('lanes').clientWidth") / 55
    expected = min(SECONDS, shown) / 2
    assert time_in(opened) == pytest.approx(expected, abs=0.2)


def test_one_side_alone_is_heard_in_both_ears_and_the_other_is_not(
    browser: Browser, talk: Path, tmp_path: Path
):
    """What goes to the speakers is looked at behind the page's mixer."""
    open_page(browser, talk, tmp_path)
    browser.evaluate(
        "(() => { const make = AudioContext.prototype.createChannelMerger;"
        " AudioContext.prototype.createChannelMerger = function (count) {"
        "  const merger = make.call(this, count), split = this.createChannelSplitter(2);"
        "  window.ears = [0, 1].map((ear) => { const one = this.createAnalyser();"
        "   split.connect(one, ear); return one; });"
        "  merger.connect(split); return merger; }; })()"
    )
    browser.evaluate(
        "(() => { const sound = document.getElementById('sound'); sound.value = 'assistant';"
        " sound.dispatchEvent(new Event('change')); })()"
    )
    begins = browser.evaluate(
        "[...document.querySelectorAll('.row')].map((row) => +row.dataset.from)"
    )
    # The user speaks for about a second; the answers are longer than two.
    heard_user, heard_assistant = loudest(browser, begins[0]), loudest(browser, begins[1] + 0.5)
    assert heard_user == [0, 0]
    assert min(heard_assistant) > 0.03


def loudest(browser: Browser, begin: float) -> list[float]:
    """The loudest sample in each ear while 0.4 seconds are played from a moment on."""
    browser.evaluate(f"{AUDIO}.pause()")
    browser.evaluate(f"{AUDIO}.currentTime = {begin}")
    browser.wait_for(f"!{AUDIO}.seeking")
    browser.evaluate(f"{AUDIO}.play()")
    # What is still on its way through the mixer is from before.
    browser.wait_for(f"{AUDIO}.currentTime > {begin + 0.2}")
    heard = [0.0, 0.0]
    while time_in(browser) < begin + 0.6:
        now = browser.evaluate(
            "window.ears.map((ear) => { const samples = new Float32Array(ear.fftSize);"
            " ear.getFloatTimeDomainData(samples);"
            " return samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0); })"
        )
        heard = [max(pair) for pair in zip(heard, now, strict=True)]
    browser.evaluate(f"{AUDIO}.pause()")
    return heard


def test_everything_can_be_reached_by_keyboard_and_has_a_name(opened: Browser):
    names = opened.evaluate(
        "[...document.querySelectorAll('button, select, [tabindex], summary')]"
        ".filter((one) => one.offsetParent)"
        ".map((one) => one.getAttribute('aria-label') || one.labels?.[0]?.textContent.trim()"
        " || one.textContent.trim())"
    )
    assert len(names) > 12
    assert all(names)
    assert opened.evaluate(
        "[...document.querySelectorAll('[tabindex]')].every((one) => one.tabIndex === 0)"
    )
    opened.evaluate("document.querySelectorAll('.time')[2].focus()")
    opened.press("Enter", "\r")
    third = float(opened.evaluate("document.querySelectorAll('.row')[2].dataset.from"))
    opened.wait_for(f"{AUDIO}.currentTime >= {third - 0.05}")
    assert opened.evaluate("document.querySelector('.row.user .time').ariaLabel").startswith("Play")


def test_a_narrow_window_shows_all_of_it(opened: Browser):
    opened.resize(360, 800)
    opened.evaluate(NEXT_FRAME)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.evaluate("!document.getElementById('overview').hidden")


def test_what_was_said_runs_as_no_script(browser: Browser, hostile: Path, tmp_path: Path):
    browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="window.owned = () => { window.isOwned = true; };",
    )
    open_page(browser, hostile, tmp_path)
    assert browser.evaluate("document.querySelectorAll('.row').length") == 7
    assert browser.evaluate("window.isOwned === undefined")
    assert browser.evaluate("document.images.length") == 0
    assert browser.messages == []
    words = browser.evaluate("document.querySelector('.row.user .words').textContent")
    assert words.startswith("</script><script>owned()</script>")


def test_without_sound_the_time_still_passes(browser: Browser, tmp_path: Path):
    path = Maker(tmp_path / "talk", audio="none").talk(SECONDS, TURNS)
    open_page(browser, path, tmp_path, sounds=False)
    browser.click(".row:nth-child(2) .who")
    browser.wait_for("document.querySelectorAll('.row')[1].classList.contains('lit')")
    assert browser.messages == []
