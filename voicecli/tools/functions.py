"""Plain typed Python functions as tools: described to the model, called with what it wrote.

The schema comes from a function's signature and docstring; the arguments are checked against the
same types before the call. Functions run off the loop, each with a time limit, and whatever goes
wrong becomes the output that the model is told: a call without an answer would stop the
conversation.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from types import ModuleType
from typing import Any, Final, ParamSpec, TypeVar, get_type_hints

import msgspec

from voicecli.errors import ConfigError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

TIME_LIMIT_S: Final = 30.0
MAX_OUTPUT_CHARS: Final = 20_000
"A longer output is cut: the model would pay for it with every answer."


class _TooSlow(Exception):
    """The time limit for functions has passed."""


class Function:
    """One function the model may call.

    Args:
        call: plain or async; every parameter typed, by name.

    Raises:
        ConfigError: a parameter has no type, or one that JSON cannot carry.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self.name = call.__name__
        self._call = call
        self._arguments = _arguments_type(call)
        description, parameters = _docstring(call)
        self.schema: dict[str, Any] = {
            "type": "function",
            "name": self.name,
            "description": description,
            "parameters": _parameters_schema(self._arguments, parameters, self.name),
        }

    async def run(self, arguments: str, time_limit_s: float) -> object:
        """Call it with JSON text; raises whatever it raises, or `_TooSlow`."""
        checked = msgspec.json.decode(arguments or "{}", type=self._arguments, strict=False)
        given = {name: getattr(checked, name) for name in self._arguments.__struct_fields__}
        limit = asyncio.timeout(time_limit_s)
        try:
            async with limit:
                if inspect.iscoroutinefunction(self._call):
                    return await self._call(**given)
                return await _in_thread(self._call, given, self.name)
        except TimeoutError as exc:
            # A function may well have a time limit of its own.
            if limit.expired():
                raise _TooSlow from exc
            raise


class Functions:
    """The functions of one talk, by name."""

    def __init__(
        self, functions: Sequence[Function] = (), *, time_limit_s: float = TIME_LIMIT_S
    ) -> None:
        self._functions: Mapping[str, Function] = {one.name: one for one in functions}
        self._time_limit_s = time_limit_s

    @property
    def schemas(self) -> tuple[dict[str, Any], ...]:
        """The `tools` of the session."""
        return tuple(function.schema for function in self._functions.values())

    async def run(self, name: str, arguments: str) -> tuple[str, bool]:
        """Call a function; never raises.

        Args:
            name: as the model wrote it.
            arguments: JSON text as the model wrote it.

        Returns:
            What the model is told, and whether that is a failure.
        """
        function = self._functions.get(name)
        if function is None:
            known = ", ".join(self._functions) or "none"
            return _failure(f"there is no function {name!r}; there are: {known}")
        try:
            result = await function.run(arguments, self._time_limit_s)
            return _sendable(_as_text(result)), False
        except _TooSlow:
            return _failure(f"{name} did not finish within {self._time_limit_s:g} seconds")
        except msgspec.MsgspecError as exc:
            return _failure(f"the arguments of {name} do not fit: {exc}")
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever it raises is its output
            return _failure(f"{type(exc).__name__}: {exc}")


def load(path: Path) -> Functions:
    """The public functions that a Python file defines (not those it imports).

    Raises:
        ConfigError: the file cannot be read or run, or a function cannot be described.
    """
    module = _import(path)
    found = [
        Function(call)
        for name, call in vars(module).items()
        if inspect.isfunction(call)
        and not name.startswith("_")
        and call.__module__ == module.__name__
    ]
    if not found:
        raise ConfigError(
            f"{str(path)!r} defines no functions for the model",
            "write plain functions with typed parameters and a docstring",
        )
    return Functions(found)


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"voicecli_tools_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"there is no Python file {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses with postponed annotations look their module up.
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:  # someone else's file may raise anything
        raise ConfigError(f"{str(path)!r} cannot be run: {type(exc).__name__}: {exc}") from exc
    return module


def _arguments_type(call: Callable[..., Any]) -> type[msgspec.Struct]:
    try:
        hints = get_type_hints(call, include_extras=True)
    except (NameError, TypeError) as exc:
        raise ConfigError(f"the types of {call.__name__}() cannot be read: {exc}") from exc
    fields: list[Any] = []
    for name, parameter in inspect.signature(call).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{call.__name__}() takes *args or **kwargs: name its parameters")
        if parameter.kind is parameter.POSITIONAL_ONLY or name not in hints:
            raise ConfigError(f"{call.__name__}(): the parameter {name!r} has no type")
        if parameter.default is parameter.empty:
            fields.append((name, hints[name]))
        else:
            fields.append((name, hints[name], _default(parameter.default)))
    return msgspec.defstruct(f"{call.__name__}_arguments", fields, kw_only=True)


def _default(value: Any) -> Any:
    if isinstance(value, (list, dict, set)):
        return msgspec.field(default_factory=lambda: type(value)(value))
    return value


def _parameters_schema(
    arguments: type[msgspec.Struct], described: Mapping[str, str], name: str
) -> dict[str, Any]:
    try:
        (top,), components = msgspec.json.schema_components(
            [arguments], ref_template="#/$defs/{name}"
        )
    except TypeError as exc:
        raise ConfigError(f"the parameters of {name}() cannot be described: {exc}") from exc
    schema: dict[str, Any] = components.pop(str(top["$ref"]).rpartition("/")[2])
    schema.pop("title", None)
    for parameter, text in described.items():
        if parameter in schema.get("properties", {}):
            schema["properties"][parameter]["description"] = text
    if components:
        schema["$defs"] = components
    return schema


def _docstring(call: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """What a function does, and what its `Args:` section says of each parameter."""
    text = inspect.getdoc(call) or ""
    description, _, rest = text.partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", rest, maxsplit=1)[0]
    entries = re.findall(
        r"^\s+(\w+)(?:\s*\([^)]*\))?:\s*(.+(?:\n\s{6,}.+)*)", section, re.MULTILINE
    )
    parameters = {name: " ".join(told.split()) for name, told in entries}
    return " ".join(re.split(r"\n(?:Returns|Raises):", description)[0].split()), parameters


async def _in_thread(call: Callable[..., Any], given: Mapping[str, Any], name: str) -> object:
    """Run in a thread that cannot keep the program alive, however long the call takes."""

    def run() -> object:
        try:
            return call(**given)
        except StopIteration as exc:
            # A future cannot carry this one.
            raise RuntimeError(f"StopIteration: {exc}") from exc

    return await asyncio.get_running_loop().run_in_executor(_OwnThread(f"tool {name}"), run)


class _OwnThread(Executor):
    """A daemon thread for each call. Those of other executors are waited for at the end."""

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(
        self, fn: Callable[_Parameters, _Result], /, *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> Future[_Result]:  # fmt: skip
        future: Future[_Result] = Future()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - handed to the caller as it is
                future.set_exception(exc)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return future


def _as_text(result: object) -> str:
    if isinstance(result, str):
        return result
    return msgspec.json.encode(result, enc_hook=str).decode()


def _failure(message: str) -> tuple[str, bool]:
    return msgspec.json.encode({"error": _sendable(message)}).decode(), True


def _sendable(text: str) -> str:
    """Text that JSON can carry (a file's name may hold half surrogates), and not too much of it."""
    return text[:MAX_OUTPUT_CHARS].encode("utf-8", "replace").decode()
