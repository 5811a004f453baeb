"""Every event of the Realtime API over WebSocket (GA shape), one frozen type each.

Client events are commands (`ResponseCreate`), server events are facts (`ResponseCreated`). The
names follow the wire: `conversation.item.truncate` is `ConversationItemTruncate`. A field that may
be absent from the wire is `UNSET`; one that may be null is `None`. What a server sends beyond the
fields known here is kept in `unknown` and written out again.

Source: the event reference of the Realtime API, checked in the tests against the types of the
`openai` package.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from voicecli.protocol.objects import ErrorDetails, Item, JsonDict, Part, Response, Session

OptionalStr: TypeAlias = str | UnsetType


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all events share. `type` is not a field: it is the class."""

    # The name cannot occur as a key of ours on the wire; the codec spreads the content instead.
    unknown: JsonDict | UnsetType = msgspec.field(name="*unknown", default=UNSET)
    "Fields that came with the event and that we do not know."

    @property
    def type(self) -> str:
        tag = self.__struct_config__.tag
        return tag if isinstance(tag, str) else ""


class ClientEvent(Event, frozen=True, kw_only=True):
    """Sent by the client. `event_id` comes back in the `error` event that it may cause."""

    event_id: OptionalStr = UNSET


class ServerEvent(Event, frozen=True, kw_only=True):
    """Sent by the server."""

    event_id: str = ""


# ----------------------------------------------------------------------------------- client events


class SessionUpdate(ClientEvent, frozen=True, kw_only=True, tag="session.update"):
    session: JsonDict
    "Only what is to change, with `type`; merged deeply by the server."


class InputAudioBufferAppend(
    ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.append"
):
    audio: bytes
    "In the session's input format; at most 15 MiB."


class InputAudioBufferCommit(
    ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.commit"
):
    pass


class InputAudioBufferClear(ClientEvent, frozen=True, kw_only=True, tag="input_audio_buffer.clear"):
    pass


class ConversationItemCreate(
    ClientEvent, frozen=True, kw_only=True, tag="conversation.item.create"
):
    item: Item
    previous_item_id: str | None | UnsetType = UNSET
    "Absent: at the end; `root`: at the beginning."


class ConversationItemRetrieve(
    ClientEvent, frozen=True, kw_only=True, tag="conversation.item.retrieve"
):
    item_id: str


class ConversationItemTruncate(
    ClientEvent, frozen=True, kw_only=True, tag="conversation.item.truncate"
):
    item_id: str
    content_index: int
    audio_end_ms: int
    "Milliseconds of this item's audio that were heard, never more than were received."


class ConversationItemDelete(
    ClientEvent, frozen=True, kw_only=True, tag="conversation.item.delete"
):
    item_id: str


class ResponseCreate(ClientEvent, frozen=True, kw_only=True, tag="response.create"):
    response: JsonDict | UnsetType = UNSET


class ResponseCancel(ClientEvent, frozen=True, kw_only=True, tag="response.cancel"):
    response_id: OptionalStr = UNSET


class OutputAudioBufferClear(
    ClientEvent, frozen=True, kw_only=True, tag="output_audio_buffer.clear"
):
    "WebRTC and SIP only: over a WebSocket our own player is the output buffer."


# ----------------------------------------------------------------------------------- server events


class ErrorEvent(ServerEvent, frozen=True, kw_only=True, tag="error"):
    error: ErrorDetails


class SessionCreated(ServerEvent, frozen=True, kw_only=True, tag="session.created"):
    session: Session


class SessionUpdated(ServerEvent, frozen=True, kw_only=True, tag="session.updated"):
    session: Session


class ConversationCreated(ServerEvent, frozen=True, kw_only=True, tag="conversation.created"):
    "Beta shape and xAI."

    conversation: JsonDict


class _ItemPlaced(ServerEvent, frozen=True, kw_only=True):
    item: Item
    previous_item_id: str | None = None


class ConversationItemCreated(
    _ItemPlaced, frozen=True, kw_only=True, tag="conversation.item.created"
):
    "Beta shape; GA sends added and done."


class ConversationItemAdded(_ItemPlaced, frozen=True, kw_only=True, tag="conversation.item.added"):
    "`previous_item_id` here, not in `done`, is the one to order by."


class ConversationItemDone(_ItemPlaced, frozen=True, kw_only=True, tag="conversation.item.done"):
    pass


class ConversationItemRetrieved(
    ServerEvent, frozen=True, kw_only=True, tag="conversation.item.retrieved"
):
    item: Item


class ConversationItemTruncated(
    ServerEvent, frozen=True, kw_only=True, tag="conversation.item.truncated"
):
    item_id: str
    content_index: int = 0
    audio_end_ms: int = 0


class ConversationItemDeleted(
    ServerEvent, frozen=True, kw_only=True, tag="conversation.item.deleted"
):
    item_id: str


class InputAudioTranscriptionDelta(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.delta",
):
    item_id: str
    content_index: int = 0
    delta: str = ""
    logprobs: list[JsonDict] | None | UnsetType = UNSET
    obfuscation: OptionalStr = UNSET


class InputAudioTranscriptionCompleted(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.completed",
):
    item_id: str
    content_index: int = 0
    transcript: str = ""
    usage: JsonDict | None | UnsetType = UNSET
    logprobs: list[JsonDict] | None | UnsetType = UNSET
    languages: list[JsonDict] | None | UnsetType = UNSET


class InputAudioTranscriptionFailed(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.failed",
):
    item_id: str
    content_index: int = 0
    error: ErrorDetails


class InputAudioTranscriptionSegment(
    ServerEvent,
    frozen=True,
    kw_only=True,
    tag="conversation.item.input_audio_transcription.segment",
):
    item_id: str
    id: str
    text: str
    speaker: str = ""
    start: float = 0.0
    "Seconds."
    end: float = 0.0
    "Seconds."
    content_index: int = 0


class InputAudioBufferCommitted(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.committed"
):
    item_id: str
    previous_item_id: str | None = None


class InputAudioBufferCleared(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.cleared"
):
    pass


class InputAudioBufferSpeechStarted(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_started"
):
    item_id: str = ""
    "The user item that this speech will become."
    audio_start_ms: int = 0
    "Position in the audio *sent*, prefix padding already subtracted; not in the audio played."


class InputAudioBufferSpeechStopped(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.speech_stopped"
):
    item_id: str = ""
    audio_end_ms: int = 0
    "Position in the audio *sent*; includes the silence that ended the turn."


class InputAudioBufferTimeoutTriggered(
    ServerEvent, frozen=True, kw_only=True, tag="input_audio_buffer.timeout_triggered"
):
    item_id: str = ""
    audio_start_ms: int = 0
    audio_end_ms: int = 0


class InputAudioBufferDtmfEventReceived(
    Event, frozen=True, kw_only=True, tag="input_audio_buffer.dtmf_event_received"
):
    "SIP only. The one server event that carries no `event_id`."

    event: str
    received_at: int = 0
    "Unix seconds."


class _OutputBuffer(ServerEvent, frozen=True, kw_only=True):
    response_id: str = ""


class OutputAudioBufferStarted(
    _OutputBuffer, frozen=True, kw_only=True, tag="output_audio_buffer.started"
):
    pass


class OutputAudioBufferStopped(
    _OutputBuffer, frozen=True, kw_only=True, tag="output_audio_buffer.stopped"
):
    pass


class OutputAudioBufferCleared(
    _OutputBuffer, frozen=True, kw_only=True, tag="output_audio_buffer.cleared"
):
    pass


class ResponseCreated(ServerEvent, frozen=True, kw_only=True, tag="response.created"):
    response: Response


class ResponseDone(ServerEvent, frozen=True, kw_only=True, tag="response.done"):
    "The end of *generation*; playback may go on for many seconds."

    response: Response


class _OutputItem(ServerEvent, frozen=True, kw_only=True):
    response_id: str
    output_index: int = 0
    item: Item


class ResponseOutputItemAdded(
    _OutputItem, frozen=True, kw_only=True, tag="response.output_item.added"
):
    pass


class ResponseOutputItemDone(
    _OutputItem, frozen=True, kw_only=True, tag="response.output_item.done"
):
    pass


class _Content(ServerEvent, frozen=True, kw_only=True):
    response_id: str
    item_id: str
    output_index: int = 0
    content_index: int = 0


class ResponseContentPartAdded(
    _Content, frozen=True, kw_only=True, tag="response.content_part.added"
):
    part: Part = msgspec.field(default_factory=lambda: Part({}))


class ResponseContentPartDone(
    _Content, frozen=True, kw_only=True, tag="response.content_part.done"
):
    part: Part = msgspec.field(default_factory=lambda: Part({}))


class ResponseOutputTextDelta(
    _Content, frozen=True, kw_only=True, tag="response.output_text.delta"
):
    delta: str
    obfuscation: OptionalStr = UNSET


class ResponseOutputTextDone(_Content, frozen=True, kw_only=True, tag="response.output_text.done"):
    text: str = ""


class ResponseOutputAudioDelta(
    _Content, frozen=True, kw_only=True, tag="response.output_audio.delta"
):
    delta: bytes
    "In the session's output format; any length, odd and empty ones included."


class ResponseOutputAudioDone(
    _Content, frozen=True, kw_only=True, tag="response.output_audio.done"
):
    pass


class ResponseOutputAudioTranscriptDelta(
    _Content, frozen=True, kw_only=True, tag="response.output_audio_transcript.delta"
):
    "Runs ahead of the audio and is not aligned with it."

    delta: str
    obfuscation: OptionalStr = UNSET


class ResponseOutputAudioTranscriptDone(
    _Content, frozen=True, kw_only=True, tag="response.output_audio_transcript.done"
):
    transcript: str = ""


class ResponseFunctionCallArgumentsDelta(
    ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"
):
    response_id: str
    item_id: str
    output_index: int = 0
    call_id: str = ""
    delta: str = ""
    obfuscation: OptionalStr = UNSET


class ResponseFunctionCallArgumentsDone(
    ServerEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"
):
    response_id: str
    item_id: str
    output_index: int = 0
    call_id: str = ""
    name: OptionalStr = UNSET
    "Some servers leave it out; the output item has it always."
    arguments: str = ""
    "JSON text, which may be invalid."


class ResponseMcpCallArgumentsDelta(
    ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.delta"
):
    response_id: str
    item_id: str
    output_index: int = 0
    delta: str = ""
    obfuscation: OptionalStr = UNSET


class ResponseMcpCallArgumentsDone(
    ServerEvent, frozen=True, kw_only=True, tag="response.mcp_call_arguments.done"
):
    response_id: str
    item_id: str
    output_index: int = 0
    arguments: str = ""


class _McpCall(ServerEvent, frozen=True, kw_only=True):
    item_id: str
    output_index: int = 0


class ResponseMcpCallInProgress(
    _McpCall, frozen=True, kw_only=True, tag="response.mcp_call.in_progress"
):
    pass


class ResponseMcpCallCompleted(
    _McpCall, frozen=True, kw_only=True, tag="response.mcp_call.completed"
):
    pass


class ResponseMcpCallFailed(_McpCall, frozen=True, kw_only=True, tag="response.mcp_call.failed"):
    pass


class _McpListTools(ServerEvent, frozen=True, kw_only=True):
    item_id: str


class McpListToolsInProgress(
    _McpListTools, frozen=True, kw_only=True, tag="mcp_list_tools.in_progress"
):
    pass


class McpListToolsCompleted(
    _McpListTools, frozen=True, kw_only=True, tag="mcp_list_tools.completed"
):
    pass


class McpListToolsFailed(_McpListTools, frozen=True, kw_only=True, tag="mcp_list_tools.failed"):
    pass


class RateLimitsUpdated(ServerEvent, frozen=True, kw_only=True, tag="rate_limits.updated"):
    rate_limits: list[JsonDict] = msgspec.field(default_factory=list)


# --------------------------------------------------------------------- what is no event of the API


class UnknownEvent(msgspec.Struct, frozen=True):
    """An event whose `type` is in no list we know: kept whole, passed on, never an error."""

    type: str
    fields: dict[str, Any]
    "The whole object, `type` included."


class MalformedEvent(msgspec.Struct, frozen=True):
    """What came in and is no event at all; the connection goes on."""

    reason: str
    excerpt: str
    "The first characters of the raw text; may hold anything, so clean it before showing it."
    event_id: str | None = None
    "Its id, if it was an object with one."


CLIENT_EVENTS: tuple[type[ClientEvent], ...] = (
    SessionUpdate,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    ConversationItemCreate,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ConversationItemDelete,
    ResponseCreate,
    ResponseCancel,
    OutputAudioBufferClear,
)

SERVER_EVENTS: tuple[type[Event], ...] = (
    ErrorEvent,
    SessionCreated,
    SessionUpdated,
    ConversationCreated,
    ConversationItemCreated,
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    ConversationItemDeleted,
    InputAudioTranscriptionDelta,
    InputAudioTranscriptionCompleted,
    InputAudioTranscriptionFailed,
    InputAudioTranscriptionSegment,
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    InputAudioBufferDtmfEventReceived,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    OutputAudioBufferCleared,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallInProgress,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    McpListToolsInProgress,
    McpListToolsCompleted,
    McpListToolsFailed,
    RateLimitsUpdated,
)
