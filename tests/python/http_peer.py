"""An HTTP/1.1 server of the standard library (`serve`), and clients of it (the other functions), which print what they got."""

import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def begin(self, kind, **headers):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data, trailers=b""):
        """Writes a chunk; an empty one is the last."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if data else b"0\r\n%s\r\n" % trailers)
        self.wfile.flush()

    def do_GET(self):
        if self.path == "/events":
            # The second event exists only once somebody has seen the first.
            self.begin("text/event-stream")
            self.chunk(b"data: one\n\n")
            if released.wait(20):
                self.chunk(b"data: two\n\n")
            self.chunk(b"")
        elif self.path == "/trailers":
            self.begin("text/plain", Trailer="X-Sum")
            self.chunk(b"body\n")
            self.chunk(b"", b"X-Sum: 7\r\n")
        elif self.path == "/until-close":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"until the end")
            self.close_connection = True

    def do_POST(self):
        if self.path == "/release":
            released.set()
            self.send_response(204)
            self.end_headers()
        elif self.path == "/duplex":
            # Each chunk goes back before the next is read.
            self.begin("application/octet-stream")
            while size := int(self.rfile.readline(), 16):
                self.chunk(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() != b"\r\n":
                pass
            self.chunk(b"")


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def events(port, host):
    """Reads an event and only then has the server send the next."""
    stream = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    stream.request("GET", "/events", headers={"Host": host})
    answer = stream.getresponse()
    lines = [answer.readline().decode().strip(), answer.readline().decode().strip()]
    other = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    other.request("POST", "/release", headers={"Host": host})
    released_with = other.getresponse().status
    lines += answer.read().decode().splitlines()
    print(json.dumps({"type": answer.getheader("Content-Type"), "released_with": released_with, "lines": lines}))


def duplex(port, host):
    """Sends each piece of the body only once the one before has come back."""
    stream = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    stream.putrequest("POST", "/duplex", skip_host=True)
    stream.putheader("Host", host)
    stream.putheader("Transfer-Encoding", "chunked")
    stream.endheaders()
    echoed = []
    answer = None
    for piece in (b"one", b"two", b"three" * 1000):
        stream.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        # The head of the answer comes with the first piece of its body.
        answer = answer or stream.getresponse()
        echoed.append(answer.read(len(piece)) == piece)
    stream.send(b"0\r\n\r\n")
    print(json.dumps({"echoed": echoed, "rest": answer.read().decode()}))


if __name__ == "__main__":
    {"serve": serve, "events": events, "duplex": duplex}[sys.argv[1]](*sys.argv[2:])
