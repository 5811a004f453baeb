"""One answer at a time: which response is active, which is wanted, which must not be heard.

The server allows one response in the conversation and refuses a second. Our own requests (after a
tool, a typed message, a push-to-talk turn) can meet the ones that voice detection makes, and a
cancellation can overtake the creation of what it should cancel. So a request is a wish that is sent
when nothing is active or on its way, and a response that begins by itself in the meantime grants
the wish: it has seen all that we sent before it.

An interruption is a set of response ids, not a flag: late deltas of those responses go nowhere, and
the next response has another id, so nothing has to be reset for it to be heard.
"""

from __future__ import annotations

from voicecli.protocol.events import ResponseCancel, ResponseCreate


class Responses:
    """The sequencer of responses; each method says what has happened."""

    def __init__(self) -> None:
        self.active: str | None = None
        self._silenced: set[str] = set()
        self._wanted = False
        self._in_flight: str | None = None
        self._last_request = ""
        self._met_another = False
        self._cancel_on_creation = False
        self._request_count = 0

    @property
    def is_busy(self) -> bool:
        """Whether a response is active, wanted or asked for."""
        return self.active is not None or self._wanted or self._in_flight is not None

    def is_silenced(self, response_id: str) -> bool:
        return response_id in self._silenced

    def want(self) -> None:
        """A response is needed for what was sent before this call."""
        self._wanted = True

    def next_request(self) -> ResponseCreate | None:
        """The request to send now, if one is wanted and may be sent."""
        if not self._wanted or self._is_blocked:
            return None
        self._request_count += 1
        self._wanted = False
        self._in_flight = self._last_request = f"create_{self._request_count}"
        return ResponseCreate(event_id=self._in_flight)

    @property
    def _is_blocked(self) -> bool:
        return self.active is not None or self._in_flight is not None or self._met_another

    def created(self, response_id: str) -> ResponseCancel | None:
        """A response has begun; gives the cancellation that was waiting for it."""
        self.active = response_id
        # What is wanted since our request went out is not in the answer to that request.
        self._wanted = self._wanted and self._in_flight is not None
        self._met_another = False
        self._in_flight = None
        if not self._cancel_on_creation:
            return None
        self._cancel_on_creation = False
        self._silenced.add(response_id)
        return ResponseCancel(response_id=response_id)

    def done(self, response_id: str) -> bool:
        """A response has ended; says whether it was silenced."""
        if self.active == response_id:
            self.active = None
        self._met_another = False
        # The id stays: a delta may come even after this.
        return response_id in self._silenced

    def refused(self, event_id: str, code: str) -> bool:
        """The server refused an event; says whether it was our last request for a response.

        A request that met a running response is made again when that one has ended: it began before
        the server had what we sent.
        """
        met_another = code == "conversation_already_has_active_response"
        # Not every server names the event that it refuses.
        is_ours = event_id == self._last_request or (
            not event_id and (met_another or (self._in_flight is not None and self.active is None))
        )
        if not self._last_request or not is_ours:
            return False
        self._last_request = ""
        self._in_flight = None
        self._cancel_on_creation = False
        self._wanted = self._met_another = met_another
        return True

    def silence(self) -> None:
        """What is active must not be heard any more; the server ends it by itself.

        A response that was asked for and has not begun is too late for the server's own
        interruption: it will be cancelled as soon as it begins.
        """
        if self.active is not None:
            self._silenced.add(self.active)
        else:
            self._cancel_on_creation = self._in_flight is not None

    def cancel(self) -> ResponseCancel | None:
        """Silence what is active and give the event that ends it.

        Where a response was asked for and has not begun, it will be cancelled as soon as it does.
        """
        self._wanted = False
        if self.active is None:
            self._cancel_on_creation = self._in_flight is not None
            return None
        if self.active in self._silenced:
            return None
        self._silenced.add(self.active)
        return ResponseCancel(response_id=self.active)
