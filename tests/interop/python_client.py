"""Calls the interoperability server with Debian's python3-grpcio: python_client.py <folder of test_pb2> <port> [ca.pem]

Unary and the three streaming kinds, deadlines, cancellation and metadata; one line for each case."""

import sys
import threading

sys.path.insert(0, sys.argv[1])

import grpc  # noqa: E402
import test_pb2 as pb  # noqa: E402

SERVICE = "/grpc.testing.TestService/"


def payload(size):
    return pb.Payload(body=bytes(size))


def output_request(*sizes, interval_us=0, body=0):
    parameters = [pb.ResponseParameters(size=size, interval_us=interval_us) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=parameters, payload=payload(body))


def bytes_of(message):
    return message.SerializeToString()


class Stub:
    def __init__(self, channel):
        simple = pb.SimpleResponse.FromString
        output = pb.StreamingOutputCallResponse.FromString
        self.empty = channel.unary_unary(SERVICE + "EmptyCall", bytes_of, pb.Empty.FromString)
        self.unary = channel.unary_unary(SERVICE + "UnaryCall", bytes_of, simple)
        self.unimplemented = channel.unary_unary(SERVICE + "UnimplementedCall", bytes_of, pb.Empty.FromString)
        self.output = channel.unary_stream(SERVICE + "StreamingOutputCall", bytes_of, output)
        self.input = channel.stream_unary(
            SERVICE + "StreamingInputCall", bytes_of, pb.StreamingInputCallResponse.FromString)
        self.duplex = channel.stream_stream(SERVICE + "FullDuplexCall", bytes_of, output)


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def unary(stub):
    response = stub.unary(pb.SimpleRequest(response_size=314159, payload=payload(271828)))
    assert len(response.payload.body) == 314159
    assert stub.empty(pb.Empty()) == pb.Empty()


def server_streaming(stub):
    sizes = [31415, 9, 2653, 58979]
    assert [len(r.payload.body) for r in stub.output(output_request(*sizes))] == sizes


def client_streaming(stub):
    requests = (pb.StreamingInputCallRequest(payload=payload(size)) for size in (27182, 8, 1828, 45904))
    assert stub.input(requests).aggregated_payload_size == 74922


def bidirectional(stub):
    go_on = threading.Semaphore(1)
    sizes = [31415, 9, 2653, 58979]

    def requests():
        for size in sizes:
            go_on.acquire()
            yield output_request(size, body=27182)

    received = []
    for response in stub.duplex(requests()):
        received.append(len(response.payload.body))
        go_on.release()
    assert received == sizes


def deadlines(stub):
    request = output_request(1, interval_us=30_000_000)
    assert code_of(lambda: list(stub.output(request, timeout=0.2))) == grpc.StatusCode.DEADLINE_EXCEEDED
    assert code_of(lambda: list(stub.duplex(iter([request]), timeout=0.2))) == grpc.StatusCode.DEADLINE_EXCEEDED
    assert code_of(lambda: stub.empty(pb.Empty(), timeout=30)) == grpc.StatusCode.OK


def cancellation(stub):
    call = stub.output(output_request(9, 9, interval_us=1000, body=1))
    next(call)
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    waiting = stub.output(output_request(1, interval_us=30_000_000))
    waiting.cancel()
    assert waiting.code() == grpc.StatusCode.CANCELLED


def metadata(stub):
    sent = (("x-grpc-test-echo-initial", "test_initial_metadata_value"),
            ("x-grpc-test-echo-trailing-bin", b"\x00\xab\xff"))
    for name, call in (("unary", stub.unary.with_call(pb.SimpleRequest(response_size=1), metadata=sent)[1]),
                       ("stream", stub.duplex(iter([output_request(1)]), metadata=sent))):
        if name == "stream":
            assert len(list(call)) == 1
        assert dict(call.initial_metadata())["x-grpc-test-echo-initial"] == "test_initial_metadata_value", name
        assert dict(call.trailing_metadata())["x-grpc-test-echo-trailing-bin"] == b"\x00\xab\xff", name


def statuses(stub):
    status = pb.EchoStatus(code=2, message="\t\nwhitespace\r\nand \u263a \U0001f608\t\n")
    try:
        stub.unary(pb.SimpleRequest(response_status=status))
        raise AssertionError("the call succeeded")
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, status.message)
    assert code_of(lambda: stub.unimplemented(pb.Empty())) == grpc.StatusCode.UNIMPLEMENTED


def main():
    address = "localhost:" + sys.argv[2]
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as ca:
            channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca.read()))
    else:
        channel = grpc.insecure_channel(address)
    failed = 0
    with channel:
        stub = Stub(channel)
        for case in (unary, server_streaming, client_streaming, bidirectional, deadlines, cancellation, metadata,
                     statuses):
            try:
                case(stub)
                print("passed", case.__name__)
            except Exception as error:  # the other cases are run all the same
                failed += 1
                print("FAILED", case.__name__, repr(error))
    sys.exit(failed != 0)


main()
