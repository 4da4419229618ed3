#!/usr/bin/env python3
"""Sends one body through the service /echo, and compares each byte that comes back while it is still sending.

usage: echo_1g.py PORT REQMOD|RESPMOD MIB

No preview and no Allow: 204, so that the server has to return the message.
"""
import random
import socket
import sys
import threading

CHUNK = 65536
# The body repeats this. A length prime to those of chunks and buffers: a shift of any of these is a difference.
PERIOD = 1_000_003
PATTERN = random.Random(3507).randbytes(PERIOD)
PATTERN += PATTERN[:CHUNK]


def pattern(start, length):
    return PATTERN[start % PERIOD : start % PERIOD + length]


def head(port, method, length):
    request = b"%s http://origin.test/file HTTP/1.1\r\nHost: origin.test\r\n"
    if method == "REQMOD":
        http = request % b"POST" + b"Content-Length: %d\r\n\r\n" % length
        encapsulated = "req-hdr=0, req-body=%d" % len(http)
    else:
        http = request % b"GET" + b"\r\n"
        offset = len(http)
        http += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
        encapsulated = "req-hdr=0, res-hdr=%d, res-body=%d" % (offset, len(http))
    icap = "%s icap://127.0.0.1:%d/echo ICAP/1.0\r\nHost: 127.0.0.1:%d\r\nEncapsulated: %s\r\n\r\n"
    return (icap % (method, port, port, encapsulated)).encode() + http


def send(sock, first, length):
    sock.sendall(first)
    for start in range(0, length, CHUNK):
        data = pattern(start, min(CHUNK, length - start))
        sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))
    sock.sendall(b"0\r\n\r\n")


def read_line(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the server closed the connection")
    return line[:-2]


def read_headers(stream):
    lines = []
    while line := read_line(stream):
        lines.append(line)
    return lines


def receive(stream, length):
    icap = read_headers(stream)
    if b" 200 " not in icap[0]:
        raise ValueError("not a 200: %r" % icap)
    http = read_headers(stream)
    if b"Content-Length: %d" % length not in http:
        raise ValueError("the HTTP head is not ours: %r" % http)
    got = 0
    while size := int(read_line(stream).split(b";")[0], 16):
        end = got + size
        while got < end:
            data = stream.read(min(CHUNK, end - got))
            if not data or data != pattern(got, len(data)):
                raise ValueError("not the body that was sent, from byte %d on" % got)
            got += len(data)
        if read_line(stream):
            raise ValueError("no CRLF after a chunk, at byte %d" % got)
    if got != length:
        raise ValueError("%d bytes of %d came back" % (got, length))
    read_headers(stream)


def main(port, method, mib):
    port, length = int(port), int(mib) << 20
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sender = threading.Thread(target=send, args=(sock, head(port, method, length), length), daemon=True)
        sender.start()
        receive(sock.makefile("rb", buffering=1 << 18), length)
        sender.join()


main(*sys.argv[1:])
