import logging

import pytest
from helpers_speech import Clip, clips

np = pytest.importorskip("numpy")

from voicecli.engine.ears.judge import MODEL, SmartTurn, load_judge  # noqa: E402
from voicecli.engine.store import ModelStore  # noqa: E402

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def judge() -> SmartTurn:
    pytest.importorskip("onnxruntime")
    if not ModelStore().is_present(MODEL):
        pytest.skip(f"no weights: voicecli models pull {MODEL}")
    return SmartTurn(ModelStore().path(MODEL))


def clip(name: str) -> Clip:
    return next(one for one in clips() if one.name == name)


def judged(judge: SmartTurn, name: str, until_s: float, silence_s: float = 0.3) -> float:
    samples = clip(name).samples()[: int(until_s * RATE_HZ)]
    return judge.probability(np.pad(samples, (0, int(silence_s * RATE_HZ))))


@pytest.mark.parametrize(
    ("name", "end_s"),
    [("cards_001.wav", 0.94), ("goforward.wav", 2.38), ("something.wav", 2.28),
     ("librivox_sense_0870.wav", 6.74), ("tidigits_dhd_2934z.wav", 1.6)],
)  # fmt: skip
def test_a_sentence_that_is_whole_is_over(judge: SmartTurn, name: str, end_s: float) -> None:
    assert judged(judge, name, end_s) > 0.9


@pytest.mark.parametrize("until_s", [4.3, 7.52])
def test_a_speaker_who_takes_breath_is_not_through(judge: SmartTurn, until_s: float) -> None:
    # "... ask not -" and "... can do for you -", each followed by a pause and the rest.
    assert judged(judge, "jfk.wav", until_s) < 0.1


def test_a_quiet_voice_that_is_not_through_is_not_through(judge: SmartTurn) -> None:
    # Without normalisation the model takes a voice so quiet for silence.
    samples = clip("forever_2.wav").samples()
    assert judge.probability(samples) < 0.1
    assert judge.probability(samples * 0.003) < 0.1


@pytest.mark.parametrize("samples", [0, 1, 160, 20 * RATE_HZ])
def test_any_length_can_be_judged(judge: SmartTurn, samples: int) -> None:
    assert 0 <= judge.probability(np.zeros(samples, "f4")) <= 1


def test_without_weights_there_is_no_judge(tmp_path) -> None:
    assert load_judge(ModelStore(tmp_path)) is None


def test_weights_that_cannot_be_loaded_are_a_warning_and_no_judge(tmp_path, caplog) -> None:
    pytest.importorskip("onnxruntime")
    store = ModelStore(tmp_path)
    (file,) = store.model(MODEL).files
    folder = tmp_path / MODEL
    folder.mkdir()
    (folder / file.name).write_bytes(bytes(file.bytes))
    (folder / "digests.json").write_text(f'{{"{file.name}": "{file.sha256}"}}')
    with caplog.at_level(logging.WARNING):
        assert load_judge(store) is None
    assert f"voicecli models verify {MODEL}" in caplog.text
