#!/usr/bin/env python3
"""A kubelet of a few calls: cri.py SOCKET|HOST:PORT CGROUP NAME sandbox [HANDLER] | container SANDBOX | exec|stop|state CONTAINER

Words with a = behind sandbox and container are annotations of the pod. Prints the id that it got, what was said by `echo in`, or state and exit code; or the words of the refusal. Messages are written by hand, field by field, as
k8s.io/cri-api/pkg/apis/runtime/v1/api.proto numbers them: no generated code, and nothing of Kubernetes.
"""

import sys

import grpc


def number(value):
    """A varint."""
    data = b""
    while value > 0x7F:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def field(tag, *values):
    """Texts and messages under one number."""
    data = b""
    for value in values:
        value = value.encode() if isinstance(value, str) else value
        data += number(tag << 3 | 2) + number(len(value)) + value
    return data


def varint(tag, value):
    return number(tag << 3) + number(value)


def fields(data):
    """The last value of each field of an answer: bytes or a number."""
    found, at = {}, 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read()
        value = read()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found[key >> 3] = value
    return found


def first_text(data):
    """The first field of an answer: its id, or what was said."""
    return fields(data).get(1, b"").decode()


HOST = 2
STATES = ["created", "running", "exited", "unknown"]
# A probe's, unless its pod says otherwise.
PROBE_SECONDS = 1
HOST_NETWORK = field(1, varint(1, HOST))


def pod(cgroup, name, annotations):
    metadata = field(1, name) + field(2, "uid-" + name) + field(3, "default")
    linux = field(1, cgroup) + field(2, HOST_NETWORK)
    entries = [field(1, key) + field(2, value) for key, value in annotations]
    return field(1, metadata) + field(7, *entries) + field(8, linux)


def container(name):
    security = field(3, varint(1, HOST))
    return (
        field(1, field(1, name))
        + field(2, field(1, "docker.io/library/pause:latest"))
        + field(3, "/bin/sleep", "1000")
        + field(15, field(2, security))
    )


def main():
    socket, cgroup, name, what, *rest = sys.argv[1:]
    annotations = [word.split("=", 1) for word in rest if "=" in word]
    rest = [word for word in rest if "=" not in word]
    channel = grpc.insecure_channel("unix://" + socket if socket.startswith("/") else socket)

    def call(method, message):
        path = "/runtime.v1.RuntimeService/" + method
        return channel.unary_unary(path)(message, timeout=100)

    try:
        if what == "sandbox":
            request = field(1, pod(cgroup, name, annotations)) + field(2, *rest)
            print(first_text(call("RunPodSandbox", request)))
        elif what == "container":
            request = field(1, rest[0]) + field(2, container(name)) + field(3, pod(cgroup, name, annotations))
            made = first_text(call("CreateContainer", request))
            call("StartContainer", field(1, made))
            print(made)
        elif what == "exec":
            request = field(1, rest[0]) + field(2, "echo", "in") + varint(3, PROBE_SECONDS)
            print(first_text(call("ExecSync", request)), end="")
        elif what == "stop":
            call("StopContainer", field(1, rest[0]) + varint(2, 1))
        else:
            status = fields(fields(call("ContainerStatus", field(1, rest[0])))[1])
            print(STATES[status.get(3, 0)], status.get(7, 0))
    except grpc.RpcError as error:
        sys.exit(error.details())


main()
