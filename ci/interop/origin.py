#!/usr/bin/env python3
"""The HTTP origin behind the proxy of the interop cases.

usage: origin.py PORT            serve on 127.0.0.1
       origin.py --file SIZE     write a body of SIZE bytes to stdout
       origin.py --eicar         write the EICAR test file to stdout

Paths: /size/N  /chunked/N  /cached  /eicar  /eicar-first/N  /eicar-last/N,
and POST or PUT to /echo. SIZE and N: 0, 1024, 300K, 64M.
One line a request on stdout, once it is over: METHOD PATH?QUERY STATUS SHA256-RECEIVED SHA256-SENT.
"""
import hashlib
import http.server
import re
import sys
import threading

BLOCK = 65536
PATTERN = bytes((i * 7 + 13) & 0xFF for i in range(BLOCK))
# In parts, so that no scanner takes this file for the test virus.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EI" + b"CAR-STANDARD-ANTI" + b"VIRUS-TEST-FILE!$H+H*"
LOG = threading.Lock()


def size(text):
    number, unit = re.fullmatch(r"(\d+)([KM]?)", text).groups()
    return int(number) << {"": 0, "K": 10, "M": 20}[unit]


def body(length):
    """Yields blocks that all differ, so that a lost, doubled or swapped one changes the hash."""
    for start in range(0, length, BLOCK):
        yield (b"block at %08x" % start + PATTERN)[: min(BLOCK, length - start)]


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, arg = self.path.split("?")[0].strip("/").partition("/")
        if kind == "size":
            self.answer(200, body(size(arg)), {"Content-Length": size(arg)})
        elif kind == "chunked":
            self.answer(200, body(size(arg)), {"Transfer-Encoding": "chunked"})
        elif kind == "eicar":
            self.answer(200, [EICAR], {"Content-Length": len(EICAR)})
        elif kind == "eicar-first":
            self.answer(200, [EICAR, *body(size(arg))], {"Content-Length": len(EICAR) + size(arg)})
        elif kind == "eicar-last":
            self.answer(200, [*body(size(arg)), EICAR], {"Content-Length": size(arg) + len(EICAR)})
        elif kind == "cached" and self.headers.get("If-None-Match") == '"v1"':
            self.answer(304, [], {"ETag": '"v1"'})
        else:
            self.answer(404, [], {"Content-Length": 0})

    do_HEAD = do_GET

    def do_POST(self):
        got = b"".join(self.request_body())
        self.answer(200, [got], {"Content-Length": len(got)}, hashlib.sha256(got).hexdigest())

    do_PUT = do_POST

    def request_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while length := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def answer(self, status, blocks, headers, received="-"):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        sent = hashlib.sha256()
        chunked = "Transfer-Encoding" in headers
        if self.command != "HEAD":
            for block in blocks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
                sent.update(block)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        with LOG:
            print(self.command, self.path, status, received, sent.hexdigest(), flush=True)

    def log_message(self, format, *args):
        pass


def main(args):
    if args[0] == "--file":
        sys.stdout.buffer.writelines(body(size(args[1])))
    elif args[0] == "--eicar":
        sys.stdout.buffer.write(EICAR)
    else:
        http.server.ThreadingHTTPServer(("127.0.0.1", int(args[0])), Origin).serve_forever()


main(sys.argv[1:])
