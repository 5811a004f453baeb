"""How fast a mind answers and stops: `mind_latency.py [small|standard|URL]`."""

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from voicecli.engine.dialogue.messages import Message
from voicecli.engine.minds.mind import Mind, load_mind
from voicecli.engine.store import ModelStore

QUESTIONS = (
    "Hello there, my name is Ada.",
    "What is the capital of Australia?",
    "Why is the sky blue?",
    "Can you recommend a book?",
    "How do I boil an egg?",
    "What is my name?",
)


def main() -> None:
    started = time.perf_counter()
    mind = load_mind(sys.argv[1] if len(sys.argv) > 1 else "small", ModelStore())
    print(f"{mind.name}: load {time.perf_counter() - started:.2f} s")
    messages: list[Message] = []
    firsts_ms, rates, stops_ms = [], [], []
    for question in QUESTIONS:
        messages.append(Message("user", question))
        times = [time.perf_counter()]
        pieces = []
        for piece in mind.reply(messages, stopped=lambda: False):
            times.append(time.perf_counter())
            pieces.append(piece)
        answer = "".join(pieces)
        messages.append(Message("assistant", answer))
        firsts_ms.append((times[1] - times[0]) * 1000)
        rates.append((len(times) - 2) / (times[-1] - times[1]))
        print(f"{firsts_ms[-1]:6.0f} ms {rates[-1]:5.1f} pieces/s  {answer}")
        stops_ms.append(_stop_ms(mind, messages))
    print(f"first piece: median {statistics.median(firsts_ms):.0f} ms, max {max(firsts_ms):.0f} ms")
    print(f"rate: median {statistics.median(rates):.1f} pieces/s")
    print(f"stop to end: median {statistics.median(stops_ms):.0f} ms, max {max(stops_ms):.0f} ms")


def _stop_ms(mind: Mind, messages: list[Message]) -> float:
    stop_at = 0.0

    def stopped() -> bool:
        return bool(stop_at)

    pieces = mind.reply([*messages, Message("user", "Tell me a long tale")], stopped=stopped)
    for count, _ in enumerate(pieces):
        if count == 4:
            stop_at = time.perf_counter()
    return (time.perf_counter() - (stop_at or time.perf_counter())) * 1000


if __name__ == "__main__":
    main()
