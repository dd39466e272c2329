#!/usr/bin/env python3
"""A kubelet of three calls: cri.py SOCKET CGROUP NAME sandbox|container SANDBOX

Prints the id that it got, or the words of the refusal. Messages are written by hand, field by field, as
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


def first_text(data):
    """The first field of an answer: its id, shorter than 128 bytes."""
    return data[2 : 2 + data[1]].decode()


HOST = 2
HOST_NETWORK = field(1, varint(1, HOST))


def pod(cgroup, name):
    metadata = field(1, name) + field(2, "uid-" + name) + field(3, "default")
    linux = field(1, cgroup) + field(2, HOST_NETWORK)
    return field(1, metadata) + field(8, linux)


def container(name):
    security = field(3, varint(1, HOST))
    return (
        field(1, field(1, name))
        + field(2, field(1, "docker.io/library/pause:latest"))
        + field(3, "/bin/sleep", "1000")
        + field(15, field(2, security))
    )


def main():
    socket, cgroup, name, what, *sandbox = sys.argv[1:]
    channel = grpc.insecure_channel("unix://" + socket)

    def call(method, message):
        path = "/runtime.v1.RuntimeService/" + method
        return channel.unary_unary(path)(message, timeout=100)

    try:
        if what == "sandbox":
            print(first_text(call("RunPodSandbox", field(1, pod(cgroup, name)))))
        else:
            request = field(1, sandbox[0]) + field(2, container(name)) + field(3, pod(cgroup, name))
            made = first_text(call("CreateContainer", request))
            call("StartContainer", field(1, made))
            print(made)
    except grpc.RpcError as error:
        sys.exit(error.details())


main()
