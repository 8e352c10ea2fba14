"""A WebSocket server that echoes (`serve`), or a client that talks to it and prints what came back (`talk`)."""

import json
import socket
import ssl
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve as listen


def echo(connection):
    for message in connection:
        if message == "bye":
            connection.close(4001, "as you wish")
            return
        connection.send(message)


def serve():
    with listen(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


def talk(port, host, certificate=None):
    context = None
    if certificate is not None:
        context = ssl.create_default_context(cafile=certificate)
        # The test's certificate lacks what only authorities have.
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    scheme = "ws" if context is None else "wss"
    stream = socket.create_connection(("127.0.0.1", int(port)))
    large = "x" * 2_000_000
    with connect(f"{scheme}://{host}/chat?x=1", sock=stream, ssl=context, subprotocols=["other", "chat"], max_size=None, proxy=None) as ws:
        got = {"subprotocol": ws.subprotocol, "extensions": [extension.name for extension in ws.protocol.extensions]}
        for name, message in (("text", "h\u00e9llo"), ("binary", b"\x00\xff"), ("empty", ""), ("large", large)):
            ws.send(message)
            got[name] = ws.recv(20) == message
        ws.send(["in ", "fragments"])
        got["fragments"] = ws.recv(20)
        got["pong"] = ws.ping().wait(20)
        ws.send("bye")
        try:
            ws.recv(20)
        except ConnectionClosed as closed:
            got["close"] = [closed.rcvd.code, closed.rcvd.reason]
    print(json.dumps(got))


if __name__ == "__main__":
    {"serve": serve, "talk": talk}[sys.argv[1]](*sys.argv[2:])
