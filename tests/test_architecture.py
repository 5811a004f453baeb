"""Who may import whom: the rules of docs/design.md, held by walking imports."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "voicecli"

EDGES = {
    "voicecli.__main__",
    "voicecli.cli",
    "voicecli.config",
    "voicecli.connection",
    "voicecli.session",
    "voicecli.outbox",
    "voicecli.audio.cleaning_thread",
    "voicecli.audio.device_ends",
    "voicecli.audio.devices",
    "voicecli.audio.files",
    "voicecli.audio.pacing",
    "voicecli.audio.portaudio",
    "voicecli.audio.probing",
    "voicecli.audio.scripted",
    "voicecli.audio.stdin",
    "voicecli.audio.watching",
    "voicecli.demo.builtin",
    "voicecli.demo.fast",
    "voicecli.demo.load",
    "voicecli.doctor.limits",
    "voicecli.doctor.loop",
    "voicecli.doctor.machine",
    "voicecli.doctor.network",
    "voicecli.doctor.session",
    "voicecli.engine.server.acting",
    "voicecli.engine.child",
    "voicecli.engine.server.connection",
    "voicecli.engine.server.door",
    "voicecli.engine.server.house",
    "voicecli.engine.inprocess",
    "voicecli.engine.ears.ears",
    "voicecli.engine.minds.endpoint",
    "voicecli.engine.ears.endpoint_ears",
    "voicecli.engine.voices.endpoint_voice",
    "voicecli.engine.server.journal",
    "voicecli.engine.ears.judge",
    "voicecli.engine.minds.llama",
    "voicecli.engine.server.metrics",
    "voicecli.engine.minds.mind",
    "voicecli.engine.ears.onnx",
    "voicecli.engine.pool",
    "voicecli.engine.remote",
    "voicecli.engine.server.reception",
    "voicecli.engine.minds.rules",
    "voicecli.engine.server.serve",
    "voicecli.engine.server.sessions",
    "voicecli.engine.stages",
    "voicecli.engine.store",
    "voicecli.engine.voices.voices",
    "voicecli.engine.ears.whisper",
    "voicecli.recording.export.files",
    "voicecli.recording.export.flac",
    "voicecli.recording.export.pages",
    "voicecli.recording.files",
    "voicecli.recording.shelf.library",
    "voicecli.recording.shelf.shelf",
    "voicecli.recording.shelf.upkeep",
    "voicecli.tools.functions",
    "voicecli.ui.cast",
    "voicecli.ui.filmed",
    "voicecli.ui.keys",
    "voicecli.ui.lines",
    "voicecli.ui.replay_screen",
    "voicecli.ui.screen",
    "voicecli.ui.still",
    "voicecli.ui.terminal",
}
"All other modules are pure; a new one is, until it is written down here."

IMPURE = {
    "asyncio",
    "concurrent",
    "contextvars",
    "datetime",
    "fcntl",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "msvcrt",
    "os",
    "pathlib",
    "queue",
    "random",
    "sched",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "termios",
    "threading",
    "time",
    "urllib",
    "wave",
    "ctranslate2",
    "hibari",
    "onnxruntime",
    "openai",
    "platformdirs",
    "sounddevice",
    "soundfile",
    "typer",
    "websockets",
    "xllamacpp",
}
"What a pure room imports none of: loops, threads, clocks, chance, and the world outside."

HEAVY = {
    "ctranslate2",
    "hibari",
    "numpy",
    "onnxruntime",
    "openai",
    "platformdirs",
    "pywebrtc_audio",
    "samplerate",
    "sounddevice",
    "soundfile",
    "soxr",
    "webrtcvad",
    "xllamacpp",
}
"What is imported where it is first needed, and nowhere at the top of a module."

DOORS = {
    "websockets": [
        "voicecli.connection",
        "voicecli.engine.server.connection",
        "voicecli.engine.server.door",
        "voicecli.engine.server.house",
        "voicecli.engine.server.reception",
        "voicecli.engine.server.serve",
        "voicecli.engine.server.sessions",
    ],
    "sounddevice": ["voicecli.audio.portaudio"],
    "soundfile": ["voicecli.recording.export.flac"],
    "rich": ["voicecli.ui", "voicecli.cli"],
    "typer": ["voicecli.cli"],
    "platformdirs": ["voicecli.config", "voicecli.engine.store", "voicecli.recording.files"],
    "webrtcvad": ["voicecli.audio.vad"],
    "pywebrtc_audio": ["voicecli.audio.echo"],
    "samplerate": ["voicecli.audio.resample"],
    "soxr": ["voicecli.audio.resample"],
    "onnxruntime": ["voicecli.engine.ears.onnx"],
    "ctranslate2": ["voicecli.engine.ears.whisper"],
    "hibari": ["voicecli.engine.voices.voices"],
    "xllamacpp": ["voicecli.engine.minds.llama"],
    "termios": ["voicecli.ui.keys"],
}


@dataclass(frozen=True)
class Import:
    """One module that another one imports."""

    importer: str
    imported: str
    is_at_top: bool
    "Not in a function, and not only for types."
    is_for_types: bool

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported}"


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_in(body: list[ast.stmt], importer: str, *, top: bool, types: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports_in(node.body, importer, top=False, types=True)
            yield from imports_in(node.orelse, importer, top=top, types=types)
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer}: relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [one if one in MODULES else str(node.module) for one in whole]
        yield from (Import(importer, name, top, types) for name in names)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for field in ("body", "orelse", "finalbody"):
            inner = getattr(node, field, [])
            yield from imports_in(inner, importer, top=top and not is_function, types=types)
        for handler in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
            yield from imports_in(handler.body, importer, top=top, types=types)


IMPORTS = [
    one
    for name, path in MODULES.items()
    for one in imports_in(ast.parse(path.read_text("utf-8")).body, name, top=True, types=False)
]


def is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def is_edge(name: str) -> bool:
    return name in EDGES or is_in(name, "voicecli.cli")


def room_of(name: str) -> str:
    """The package a module is in, or the module itself where it stands alone."""
    return ".".join(name.split(".")[:2])


def root_of(name: str) -> str:
    return name.partition(".")[0]


def offending(breaks: object) -> list[str]:
    assert callable(breaks)
    return sorted({str(one) for one in IMPORTS if breaks(one)})


def test_every_edge_that_is_written_down_exists():
    assert sorted(EDGES - set(MODULES)) == []


def test_pure_rooms_import_no_loop_no_clock_and_no_world_outside():
    assert offending(lambda i: not is_edge(i.importer) and root_of(i.imported) in IMPURE) == []


def test_pure_rooms_import_pure_rooms():
    assert (
        offending(lambda i: not is_edge(i.importer) and not i.is_for_types and is_edge(i.imported))
        == []
    )


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_door(library):
    def is_elsewhere(one: Import) -> bool:
        allowed = any(is_in(one.importer, door) for door in DOORS[library])
        return root_of(one.imported) == library and not allowed

    assert offending(is_elsewhere) == []
    assert any(root_of(one.imported) == library for one in IMPORTS), "a door that nobody uses"


def test_edges_of_different_rooms_do_not_import_each_other():
    def is_neighbour(one: Import) -> bool:
        if is_in(one.importer, "voicecli.cli") or one.importer == "voicecli.__main__":
            return False
        # The outbox is the session's own queue.
        is_own = (one.importer, one.imported) == ("voicecli.session", "voicecli.outbox")
        between = room_of(one.importer) != room_of(one.imported)
        return is_edge(one.importer) and is_edge(one.imported) and between and not is_own

    assert offending(is_neighbour) == []


@pytest.mark.parametrize("core", ["voicecli.session", "voicecli.config", "voicecli.cli"])
def test_only_the_command_line_knows_the_session_and_the_configuration(core):
    users = ("voicecli.cli", "voicecli.__main__")
    assert (
        offending(
            lambda i: is_in(i.imported, core) and not any(is_in(i.importer, user) for user in users)
        )
        == []
    )


@pytest.mark.parametrize(
    ("room", "may_use"),
    [
        ("voicecli.protocol", []),
        ("voicecli.audio", ["voicecli.errors"]),
        ("voicecli.tools", ["voicecli.errors"]),
        ("voicecli.engine", ["voicecli.errors", "voicecli.protocol", "voicecli.audio"]),
    ],
)
def test_a_room_that_stands_for_itself_uses_only_what_is_below_it(room, may_use):
    def is_above(one: Import) -> bool:
        if not is_in(one.importer, room) or not is_in(one.imported, "voicecli"):
            return False
        return not any(is_in(one.imported, below) for below in [room, *may_use])

    assert offending(is_above) == []


def test_the_engine_uses_no_sound_devices():
    devices = ("voicecli.audio.devices", "voicecli.audio.files", "voicecli.audio.ports")
    assert offending(lambda i: is_in(i.importer, "voicecli.engine") and i.imported in devices) == []


def test_heavy_libraries_are_imported_where_they_are_first_needed():
    assert offending(lambda i: i.is_at_top and root_of(i.imported) in HEAVY) == []


def loaded_by(statement: str) -> set[str]:
    program = (
        f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    return set(done.stdout.split())


def test_the_command_line_starts_without_anything_that_a_command_may_not_need():
    modules = loaded_by("import voicecli.cli")
    roots = {root_of(name) for name in modules}
    assert sorted(roots & (HEAVY | {"rich", "websockets", "msgspec", "ssl"})) == []
    ours = {"voicecli.session", "voicecli.connection", "voicecli.conversation", "voicecli.config"}
    edges = {name for name in modules if is_edge(name) and not is_in(name, "voicecli.cli")}
    assert sorted((ours & modules) | edges) == []


def test_a_talk_without_rate_conversion_loads_no_numpy_and_no_sound_library():
    modules = loaded_by(
        "import voicecli.session, voicecli.connection, voicecli.audio.files, voicecli.ui.lines; "
        "import voicecli.tools.functions, voicecli.config; "
        "from voicecli.conversation import Conversation, Options; "
        "from voicecli.protocol.settings import SessionSettings; "
        "Conversation(Options(settings=SessionSettings()))"
    )
    assert "voicecli.conversation" in modules
    assert sorted({root_of(name) for name in modules} & (HEAVY | {"rich", "typer"})) == []
