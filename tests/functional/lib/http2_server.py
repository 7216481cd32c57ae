"""A scripted server of HTTP/2 behind a proxy, and what it may say."""

import threading

import h2.config
import h2.connection
import h2.events
import h2.settings
from proxylib import Gone


class Server:
    """A scripted server of HTTP/2, for a backend's script: reply(server, stream, headers, body) for each request that is whole."""

    def __init__(self, reply, settings=None):
        self.reply, self.settings, self.streams, self.lock = reply, settings or {}, [], threading.Lock()
        self.connections = 0

    def __call__(self, peer):
        self.connections += 1
        wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        if self.settings:
            wire.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
        wire.initiate_connection()
        requests = {}
        while True:
            peer.send(wire.data_to_send())
            peer.receive()
            data, peer.unread = peer.unread, b""
            for event in wire.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    requests[event.stream_id] = (dict(event.headers), bytearray())
                elif isinstance(event, h2.events.DataReceived):
                    requests[event.stream_id][1].extend(event.data)
                    wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.streams.append(event.stream_id)
                    self.reply(wire, event.stream_id, *requests[event.stream_id])
                elif isinstance(event, h2.events.ConnectionTerminated):
                    raise Gone
            if wire.state_machine.state is h2.connection.ConnectionState.CLOSED:
                peer.send(wire.data_to_send())
                raise Gone


def hello(wire, stream, headers, body):
    wire.send_headers(stream, [(":status", "200"), ("x-path", headers[":path"])])
    wire.send_data(stream, bytes(body) or b"hello", end_stream=True)
