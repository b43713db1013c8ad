"""h2's connection as server and client use it: large windows, and GOAWAY as RFC 9113 has it."""

from typing import Any

from h2.config import H2Configuration
from h2.connection import (
    ConnectionInputs,
    H2Connection,
    H2ConnectionStateMachine,
)
from h2.errors import ErrorCodes
from h2.events import Event
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import HPACKError
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

from stack.http.limits import Limits

DEFAULT_WINDOW = 65_535
MAX_STREAM_ID = (1 << 31) - 1
LENGTH_BYTES = 3


class CompressionError(ProtocolError):
    """A header block that cannot be decoded (RFC 9113 §4.3), which h2 calls a PROTOCOL_ERROR."""

    error_code = ErrorCodes.COMPRESSION_ERROR


class _StateMachine(H2ConnectionStateMachine):
    """A GOAWAY ends nothing that is open (RFC 9113 §6.8); h2 would refuse every later frame."""

    def process_input(self, input_: ConnectionInputs) -> list[Event]:
        if input_ is ConnectionInputs.RECV_GOAWAY:
            return []
        return super().process_input(input_)


class Engine(H2Connection):
    """The HTTP/2 state of one connection.

    A server's header fields are checked before they come here; the client's are checked by h2.
    """

    def __init__(self, limits: Limits, *, client: bool) -> None:
        super().__init__(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=client,
                normalize_outbound_headers=client,
            )
        )
        self.state_machine = _StateMachine()
        self._limits = limits
        self.local_settings = self._settings(limits.streams)
        # They count from the first byte: a peer that knows only the defaults keeps to them.
        self.max_inbound_frame_size = limits.frame_size
        self.decoder.max_header_list_size = limits.header_bytes

    def _settings(self, streams: int) -> Settings:
        limits = self._limits
        values: dict[SettingCodes, int] = {
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_FRAME_SIZE: limits.frame_size,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.header_bytes,
            SettingCodes.MAX_CONCURRENT_STREAMS: streams,
        }
        if self.config.client_side:
            values[SettingCodes.ENABLE_PUSH] = 0
        return Settings(client=self.config.client_side, initial_values=values)

    def open(self, upgrade_settings: bytes | None = None) -> None:
        """Queues our preface: SETTINGS and the connection's window.

        With `upgrade_settings` (HTTP2-Settings, padded base64) a server also opens stream 1.
        """
        if upgrade_settings is None:
            self.initiate_connection()
        else:
            self.initiate_upgrade_connection(upgrade_settings)
        self._opened()

    def open_upgraded(self) -> bytes:
        """A client's preface behind 101; returns the HTTP2-Settings of the request."""
        settings = self.initiate_upgrade_connection()
        assert settings is not None
        self._opened()
        return settings

    def _opened(self) -> None:
        self.increment_flow_control_window(self._limits.connection_window - DEFAULT_WINDOW)
        # h2 ends the connection when a request is one too many. RFC 9113 §5.1.2 asks for no
        # more than REFUSED_STREAM, so what was announced is enforced by who opens streams.
        self.local_settings = self._settings(MAX_STREAM_ID)

    def receive_data(self, data: Any) -> list[Event]:
        """The events in `data`. A frame that is too long ends the connection as soon as its
        length is here: h2 would collect all of it first, up to 16 MiB.
        """
        happened = super().receive_data(data)
        rest = self.incoming_buffer._data
        if len(rest) >= LENGTH_BYTES:
            length = int.from_bytes(rest[:LENGTH_BYTES], "big")
            if length > self.max_inbound_frame_size:
                self._terminate_connection(ErrorCodes.FRAME_SIZE_ERROR)
                raise FrameTooLargeError(f"a frame of {length} bytes is longer than allowed")
        return happened

    def _receive_frame(self, frame: Frame) -> list[Event]:
        """DATA goes straight to its handler, which treats closed streams by itself: on the
        general way h2 formats every frame for its log, a third of the cost of an upload.
        """
        if type(frame) is not DataFrame:
            return self._receive_other(frame)
        answers, happened = self._receive_data_frame(frame)
        self._prepare_for_sending(answers)
        return happened

    def _receive_other(self, frame: Frame) -> list[Event]:
        try:
            return super()._receive_frame(frame)
        except ProtocolError as error:
            if isinstance(error.__cause__, HPACKError) and type(error) is ProtocolError:
                raise CompressionError(str(error)) from error
            raise

    def clear_outbound_data_buffer(self) -> None:
        """Keeps what is queued: h2 calls this for a GOAWAY, behind which we may still send."""

    def go_away(self, last_stream_id: int, error: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Queues a GOAWAY; what is open goes on (h2's own would end it)."""
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=error)
        self._prepare_for_sending([frame])
