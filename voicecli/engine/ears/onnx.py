"""The one door to onnxruntime: model files opened so that they share the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from voicecli.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime as ort


def open_models(folder: Path, names: Sequence[str], threads: int) -> list[ort.InferenceSession]:
    """Load files of one model; each session may be used from any thread.

    Raises:
        ModelError: onnxruntime is not installed, or a file cannot be loaded; `folder` is named
            after its model.
    """
    try:
        import onnxruntime as ort
    except ImportError as exc:
        raise ModelError(
            "onnxruntime is not installed", 'install it: pip install "voicecli[local]"'
        ) from exc
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads must not take the cores that the mind and the voice need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return [
            ort.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in names
        ]
    # onnxruntime's own errors share no base but Exception.
    except Exception as exc:
        raise ModelError(
            f"cannot load {folder.name!r} from {str(folder)!r}: {exc}",
            f"check the files: voicecli models verify {folder.name}",
        ) from exc
