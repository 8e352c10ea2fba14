"""Sends requests over HTTP/2 that a well-behaved client would not, each on a connection of its own, and prints what each got.

Standard input has a JSON list of requests: `fields` (pairs, in order), `body` and `trailers` (pairs, or null)."""

import json
import socket
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events

CONFIG = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None)


def pairs(fields):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def code(number):
    return h2.errors.ErrorCodes(number).name


def exchange(port, request):
    """Returns the status with the last word of the body, or how the stream or the connection was ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
        peer = h2.connection.H2Connection(CONFIG)
        peer.initiate_connection()
        body, trailers = request["body"].encode(), request["trailers"]
        peer.send_headers(1, pairs(request["fields"]), end_stream=not body and not trailers)
        if body:
            peer.send_data(1, body, end_stream=not trailers)
        if trailers:
            peer.send_headers(1, pairs(trailers), end_stream=True)
        stream.sendall(peer.data_to_send())
        status, answer = None, b""
        while data := stream.recv(65536):
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    answer += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return f"{status} {answer.decode().split()[-1]}"
                elif isinstance(event, h2.events.StreamReset):
                    return f"reset {code(event.error_code)}"
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return f"goaway {code(event.error_code)}"
            stream.sendall(peer.data_to_send())
        return "closed"


if __name__ == "__main__":
    print(json.dumps([exchange(int(sys.argv[1]), request) for request in json.load(sys.stdin)]))
