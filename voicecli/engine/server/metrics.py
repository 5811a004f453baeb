"""Figures about a running server, in the text format that Prometheus reads.

May be told from any thread. Names and labels are few and fixed by the program, never taken from
clients, so that the figures take no more memory with time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

Labels: TypeAlias = tuple[tuple[str, str], ...]

HELP: Final = {
    "sessions": ("gauge", "Clients that are connected."),
    "sessions_total": ("counter", "Clients that have connected."),
    "refused_total": ("counter", "Clients that were turned away, by reason."),
    "dropped_total": ("counter", "Clients that were cut off because they did not read."),
    "turns_total": ("counter", "Turns of users that became items."),
    "responses_total": ("counter", "Responses that have ended, by status."),
    "errors_total": ("counter", "Error events sent, by code."),
    "first_output_seconds": (
        "histogram",
        "From the end of a turn, or a request, to the first audio or text of the response.",
    ),
    "stage_seconds": (
        "histogram",
        "ears: a transcription; mind, voice: up to the first piece.",
    ),
    "wait_seconds": ("histogram", "How long work waited for its turn, by stage."),
    "queue_depth": ("gauge", "Work that waits for its turn, by stage."),
    "backlog_bytes": ("gauge", "What clients have not read yet."),
    "models_ready": ("gauge", "1 when the models are loaded."),
}
"The figures there are: kind and meaning."


@dataclass
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total += seconds


class Metrics:
    """Counters and histograms; gauges are given when the text is made."""

    def __init__(self) -> None:
        # Models tell their times on their own threads.
        self._lock = threading.Lock()
        self._counters: dict[tuple[str, Labels], int] = {}
        self._histograms: dict[tuple[str, Labels], _Histogram] = {}

    def count(self, name: str, **labels: str) -> None:
        """One more of these."""
        key = (name, tuple(labels.items()))
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + 1

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """One more that took so long."""
        with self._lock:
            self._histograms.setdefault((name, tuple(labels.items())), _Histogram()).observe(
                seconds
            )

    def text(self, gauges: Iterable[tuple[str, Labels, float]] = ()) -> str:
        """All figures as Prometheus reads them."""
        samples: dict[str, list[str]] = {name: [] for name in HELP}
        with self._lock:
            for (name, labels), count in self._counters.items():
                samples[name].append(_sample(name, labels, count))
            for (name, labels), histogram in self._histograms.items():
                samples[name] += _histogram(name, labels, histogram)
        for name, labels, value in gauges:
            samples[name].append(_sample(name, labels, value))
        lines: list[str] = []
        for name, (kind, meaning) in HELP.items():
            full = f"voicecli_{name}"
            lines += [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}"]
            empty = [_sample(name, (), 0)] if kind == "counter" else []
            lines += samples[name] or empty
        return "\n".join(lines) + "\n"


def _histogram(name: str, labels: Labels, one: _Histogram) -> Iterator[str]:
    running = 0
    for bound, count in zip((*BUCKETS_S, None), one.counts, strict=True):
        running += count
        shown = "+Inf" if bound is None else f"{bound:g}"
        yield _sample(f"{name}_bucket", (*labels, ("le", shown)), running)
    yield _sample(f"{name}_sum", labels, round(one.total, 6))
    yield _sample(f"{name}_count", labels, running)


def _sample(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"voicecli_{name}{{{inner}}} {value}" if inner else f"voicecli_{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
