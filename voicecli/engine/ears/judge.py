"""Whether a speaker who is silent is through: smart-turn, which listens to how it was said."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from voicecli.engine.ears.mel import RATE_HZ, log_mel, normalized
from voicecli.engine.ears.onnx import open_models
from voicecli.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voicecli.engine.store import ModelStore

log = logging.getLogger(__name__)

MODEL: Final = "smart-turn"

_FILE: Final = "smart-turn-v3.2-cpu.onnx"
_SAMPLES: Final = 8 * RATE_HZ


class Judge(Protocol):
    """Says how likely it is that a turn is over."""

    def probability(self, samples: NDArray[np.float32]) -> float:
        """0..1, from mono samples at 16 kHz that end with the silence in question."""
        ...


class SmartTurn:
    """smart-turn v3.2 on onnxruntime: hears melody and words, in 23 languages; 60 ms on one core.

    It looks at the last 8 s. May be called from any thread.

    Args:
        folder: holds `smart-turn-v3.2-cpu.onnx`.

    Raises:
        ModelError: onnxruntime is not installed, or the file cannot be loaded.
    """

    def __init__(self, folder: Path) -> None:
        # A second thread gains nothing.
        (self._model,) = open_models(folder, [_FILE], threads=1)

    def probability(self, samples: NDArray[np.float32]) -> float:
        """0..1, from mono samples at 16 kHz that end with the silence in question."""
        import numpy as np

        newest = samples[-_SAMPLES:]
        # It was trained on turns at the end of a window, with silence before them.
        window = np.pad(newest, (_SAMPLES - len(newest), 0))
        features = log_mel(normalized(window))[None]
        # The output is called `logits`, but went through a sigmoid already.
        return float(self._model.run(None, {"input_features": features})[0].flat[0])


def load_judge(store: ModelStore) -> Judge | None:
    """The judge, if its weights are here; a failure is only logged, for turns end without one."""
    if not store.is_present(MODEL):
        return None
    try:
        return SmartTurn(store.path(MODEL))
    except ModelError as exc:
        log.warning("%s; %s", exc.message, exc.hint)
        return None
