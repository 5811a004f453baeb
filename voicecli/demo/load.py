"""Opens demo scripts: the files, what they include, and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from voicecli.demo.script import Given, read_script
from voicecli.demo.settings import SettingsCheck
from voicecli.demo.steps import Script
from voicecli.errors import ConfigError


def load(
    path: Path,
    *,
    check: SettingsCheck,
    sets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
    voices: tuple[str, ...] = (),
    needs_steps: bool = True,
) -> list[Script]:
    """The script in a file, and those that follow it by `then`.

    Args:
        path: the file.
        check: what is wrong with a session setting (`config.problem_with`).
        sets: variables from the command line: text by name. Whether each is one of some script is
            for `variables.check_sets` to say, when all scripts are read.
        environ: for `{env.NAME}`.
        voices: names of the local voices; empty: not checked.
        needs_steps: False: expectations alone are a script, too.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    given = Given(Folder(), check, sets or {}, environ, voices, needs_steps)
    scripts: list[Script] = []
    following = os.path.normpath(path.expanduser())
    while following:
        if following in [script.source for script in scripts]:
            raise ConfigError(
                f"{scripts[-1].source}: demo.then: {following!r} was played already",
                "scripts that follow each other must come to an end",
            )
        script = read_script(given.library.read(following), following, given)
        scripts.append(script)
        following = script.then
    return scripts


class Folder:
    """The files on this machine."""

    def read(self, path: str) -> str:
        """The text of a script.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            return Path(path).read_text(encoding="utf-8-sig")
        except FileNotFoundError as exc:
            raise ConfigError(
                f"there is no script {path!r}", "`voicecli demo --list` names those that are here"
            ) from exc
        except OSError as exc:
            raise ConfigError(f"cannot read {path!r}: {exc.strerror or exc}") from exc
        except UnicodeDecodeError as exc:
            raise ConfigError(f"{path!r} is no text in UTF-8: {exc.reason}") from exc

    def beside(self, name: str, source: str) -> str:
        """The path of a file that is named in the script `source`."""
        return os.path.normpath(Path(source).parent / Path(name).expanduser())

    def exists(self, path: str) -> bool:
        return Path(path).is_file()
