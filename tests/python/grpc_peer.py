"""A gRPC server (`serve`), or a client that makes calls of every kind and prints what came of them (`call`). Messages are bytes."""

import json
import queue
import sys
import threading
from concurrent import futures

import grpc

cancelled = threading.Event()


def unary(request, context):
    return b"hello " + request


def server_stream(request, context):
    yield from (request + b"%d" % number for number in range(3))


def client_stream(requests, context):
    return b"+".join(requests)


def bidi(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    context.set_trailing_metadata((("x-detail", "7"), ("x-binary-bin", b"\x00\xff")))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: caf\u00e9")


def fail_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "the rest is gone")


def sleep(request, context):
    """Ends only when its caller does."""
    cancelled.clear()
    context.add_callback(cancelled.set)
    cancelled.wait(20)
    return b"overslept"


def was_cancelled(request, context):
    return b"yes" if cancelled.wait(20) else b"no"


def large(request, context):
    return request + request


def serve():
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
        "Large": grpc.unary_unary_rpc_method_handler(large),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", handlers),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def channel(address, authority, certificate):
    options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0)]
    if certificate is None:
        return grpc.insecure_channel(address, options)
    with open(certificate, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(address, credentials, [*options, ("grpc.ssl_target_name_override", authority)])


def status(call):
    """Makes a call that fails, and says how."""
    try:
        call()
    except grpc.RpcError as error:
        # Without a message the head is the trailers, and has these fields besides.
        fields = [field for field in error.trailing_metadata() or () if field[0] not in ("server", "date")]
        trailers = {key: value.hex() if isinstance(value, bytes) else value for key, value in fields}
        return {"code": error.code().name, "details": error.details(), "trailers": trailers}
    return {"code": "OK"}


def ping_pong(peer, count):
    """Sends each message only once the one before has come back: neither side may wait for the end of the other."""
    ours = queue.Queue()
    ours.put(b"ping 0")
    replies = []
    for reply in peer.stream_stream("/test.Peer/Bidi")(iter(ours.get, None), timeout=20):
        replies.append(reply.decode())
        ours.put(b"ping %d" % len(replies) if len(replies) < count else None)
    return replies


def call(address, authority, certificate=None):
    with channel(address, authority, certificate) as peer:
        late = []
        print(
            json.dumps(
                {
                    "unary": peer.unary_unary("/test.Peer/Unary")(b"world", timeout=20).decode(),
                    "server_stream": [m.decode() for m in peer.unary_stream("/test.Peer/ServerStream")(b"n", timeout=20)],
                    "client_stream": peer.stream_unary("/test.Peer/ClientStream")(iter([b"a", b"b", b"c"]), timeout=20).decode(),
                    "bidi": ping_pong(peer, 3),
                    "large": len(peer.unary_unary("/test.Peer/Large")(b"x" * 1_500_000, timeout=20)),
                    "fail": status(lambda: peer.unary_unary("/test.Peer/Fail")(b"", timeout=20)),
                    "fail_late": status(lambda: late.extend(peer.unary_stream("/test.Peer/FailLate")(b"", timeout=20))),
                    "before_fail_late": [m.decode() for m in late],
                    "no_such_method": status(lambda: peer.unary_unary("/test.Peer/Nothing")(b"", timeout=20))["code"],
                    "deadline": status(lambda: peer.unary_unary("/test.Peer/Sleep")(b"", timeout=0.5))["code"],
                    "the_server_saw_the_deadline": peer.unary_unary("/test.Peer/WasCancelled")(b"", timeout=20).decode(),
                }
            )
        )


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
