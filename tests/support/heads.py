"""Heads of requests that are refused, with the status that says so (RFC 9112 §2, §3, §5, §6).

`MALFORMED` are no HTTP, or none that is spoken here.  `SMUGGLING` hide a second request in a body,
or a body in a head, from one of two programs that read them one after the other.
"""

from __future__ import annotations

HIDDEN = b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nCallSid=CA9"
"""What must never be taken for a request."""


def head(*lines: bytes, first: bytes = b"GET /health HTTP/1.1", end: bytes = b"\r\n") -> bytes:
    """A head with Host and these headers."""
    return end.join([first, b"Host: localhost", *lines, b"", b""])


def post(*lines: bytes, version: bytes = b"1.1") -> bytes:
    """A POST of a status callback with these headers."""
    return head(*lines, first=b"POST /status HTTP/" + version)


def _first(line: bytes) -> bytes:
    return head(first=line)


MALFORMED: dict[str, tuple[bytes, int]] = {
    # The request line (RFC 9112 §3)
    "no version": (_first(b"GET /health"), 400),
    "method alone": (_first(b"GET"), 400),
    "no method": (_first(b"/health HTTP/1.1"), 400),
    "empty target": (_first(b"GET  HTTP/1.1"), 400),
    "two spaces before target": (_first(b"GET  /health HTTP/1.1"), 400),
    "two spaces after target": (_first(b"GET /health  HTTP/1.1"), 400),
    "tab for space": (_first(b"GET\t/health HTTP/1.1"), 400),
    "space at the end": (_first(b"GET /health HTTP/1.1 "), 400),
    "space at the start": (_first(b" GET /health HTTP/1.1"), 400),
    "space in target": (_first(b"GET /he alth HTTP/1.1"), 400),
    "four words": (_first(b"GET /health HTTP/1.1 HTTP/1.1"), 400),
    "method with a bracket": (_first(b"G[T /health HTTP/1.1"), 400),
    "method with a colon": (_first(b"GET: /health HTTP/1.1"), 400),
    "method not ASCII": (_first("GÉT /health HTTP/1.1".encode()), 400),
    "target not ASCII": (_first("GET /hé HTTP/1.1".encode()), 400),
    "NUL in target": (_first(b"GET /he\0alth HTTP/1.1"), 400),
    "DEL in target": (_first(b"GET /he\x7falth HTTP/1.1"), 400),
    "ESC in target": (_first(b"GET /\x1b[2J HTTP/1.1"), 400),
    "vertical tab for space": (_first(b"GET\x0b/health HTTP/1.1"), 400),
    "absolute target": (_first(b"GET http://localhost/health HTTP/1.1"), 400),
    "absolute target of another host": (_first(b"GET http://evil.example/ HTTP/1.1"), 400),
    "relative target": (_first(b"GET health HTTP/1.1"), 400),
    "backslash": (_first(b"GET \\health HTTP/1.1"), 400),
    "query alone": (_first(b"GET ?a=1 HTTP/1.1"), 400),
    "asterisk": (_first(b"GET * HTTP/1.1"), 400),
    "OPTIONS of asterisk": (_first(b"OPTIONS * HTTP/1.1"), 501),
    "CONNECT": (_first(b"CONNECT evil.example:443 HTTP/1.1"), 501),
    "CONNECT to a path": (_first(b"CONNECT /media HTTP/1.1"), 501),
    # The version (RFC 9112 §2.3)
    "HTTP/0.9": (_first(b"GET /health HTTP/0.9"), 505),
    "HTTP/1.2": (_first(b"GET /health HTTP/1.2"), 505),
    "HTTP/2.0": (_first(b"GET /health HTTP/2.0"), 505),
    "HTTP/3.0": (_first(b"GET /health HTTP/3.0"), 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\nHost: localhost\r\n\r\nSM\r\n\r\n", 505),
    "small letters": (_first(b"GET /health http/1.1"), 400),
    "HTTP/1": (_first(b"GET /health HTTP/1"), 400),
    "HTTP/1.": (_first(b"GET /health HTTP/1."), 400),
    "HTTP/1.1.1": (_first(b"GET /health HTTP/1.1.1"), 400),
    "HTTP/11": (_first(b"GET /health HTTP/11"), 400),
    "HTTP/01.1": (_first(b"GET /health HTTP/01.1"), 400),
    "HTTP/-1.1": (_first(b"GET /health HTTP/-1.1"), 400),
    "HTTP /1.1": (_first(b"GET /health HTTP /1.1"), 400),
    "RTSP": (_first(b"OPTIONS /health RTSP/1.0"), 400),
    "SIP": (_first(b"INVITE sip:a@localhost SIP/2.0"), 400),
    # What comes before it (RFC 9112 §2.2)
    "empty line first": (b"\r\n" + head(), 400),
    "LF first": (b"\n" + head(), 400),
    "nothing but its end": (b"\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "zeros": (bytes(40), 400),
    "byte order mark": (b"\xef\xbb\xbf" + head(), 400),
    "proxy protocol": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + head(), 400),
    # The headers (RFC 9112 §5)
    "no colon": (head(b"X-A"), 400),
    "empty name": (head(b": x"), 400),
    "space before the colon": (head(b"X-A : b"), 400),
    "tab before the colon": (head(b"X-A\t: b"), 400),
    "space in the name": (head(b"X A: b"), 400),
    "name not ASCII": (head("X-Ä: b".encode()), 400),
    "name in quotes": (head(b'"X-A": b'), 400),
    "name with a slash": (head(b"X/A: b"), 400),
    "name with a bracket": (head(b"X(A): b"), 400),
    "NUL in the name": (head(b"X\0A: b"), 400),
    "NUL in the value": (head(b"X-A: b\0c"), 400),
    "bell in the value": (head(b"X-A: b\x07c"), 400),
    "ESC in the value": (head(b"X-A: \x1b[31m"), 400),
    "DEL in the value": (head(b"X-A: \x7f"), 400),
    "form feed in the value": (head(b"X-A: b\x0cc"), 400),
    "CR in the value": (head(b"X-A: b\rc"), 400),
    "two CR": (head(b"X-A: b\r"), 400),
    "folded line": (head(b"X-A: b", b" c"), 400),
    "folded by a tab": (head(b"X-A: b", b"\tc"), 400),
    "folded to nothing": (head(b"X-A: b", b" "), 400),
    "first header folded": (b"GET /health HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "no Host": (b"GET /health HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (head(b"Host: localhost"), 400),
    "two Hosts, spelled otherwise": (head(b"hOST: evil.example"), 400),
    "129 headers": (head(*[b"X-A: b"] * 128), 431),
    "spaces and a control character": (head(b"X-A: " + b" " * 20_000 + b"\x01"), 400),
    "spaces and a letter for a length": (
        head(b"Content-Length: 1" + b" " * 8000 + b"b"), 400,
    ),
}  # fmt: skip

CHUNKED = b"Transfer-Encoding: chunked"
_CHUNKS = b"0\r\n\r\n"

SMUGGLING: dict[str, tuple[bytes, int]] = {
    # Two lengths (RFC 9112 §6.3)
    "two lengths": (post(b"Content-Length: 0", b"Content-Length: 97"), 400),
    "two lengths, spelled otherwise": (post(b"Content-Length: 0", b"content-LENGTH: 97"), 400),
    "list of two lengths": (post(b"Content-Length: 0, 97"), 400),
    "list of one length twice": (post(b"Content-Length: 0, 0"), 400),
    "list of nothing": (post(b"Content-Length: ,"), 400),
    "same number, other digits": (post(b"Content-Length: 97", b"Content-Length: 097"), 400),
    # No number (RFC 9112 §6.2)
    "negative length": (post(b"Content-Length: -1"), 400),
    "length with a plus": (post(b"Content-Length: +0"), 400),
    "length in hexadecimal": (post(b"Content-Length: 0x0"), 400),
    "length with an underscore": (post(b"Content-Length: 1_0"), 400),
    "length with a point": (post(b"Content-Length: 0.0"), 400),
    "length with an exponent": (post(b"Content-Length: 1e1"), 400),
    "length with a space": (post(b"Content-Length: 1 0"), 400),
    "length in quotes": (post(b'Content-Length: "0"'), 400),
    "length in other digits": (post("Content-Length: ٣".encode()), 400),
    "superscript length": (post(b"Content-Length: \xb2"), 400),
    "empty length": (post(b"Content-Length:"), 400),
    "length and a semicolon": (post(b"Content-Length: 0;"), 400),
    "length of 21 digits": (post(b"Content-Length: " + b"9" * 21), 413),
    "length that wraps around": (post(b"Content-Length: %d" % (2**128)), 413),
    "length of 5000 digits": (post(b"Content-Length: " + b"9" * 5000), 413),
    "space before the colon": (post(b"Content-Length : 97"), 400),
    "length folded": (post(b"Content-Length:", b" 97"), 400),
    # Chunks (RFC 9112 §6.1, §7.1)
    "chunked": (post(CHUNKED) + _CHUNKS, 411),
    "chunked, in capitals": (post(b"TRANSFER-ENCODING: CHUNKED") + _CHUNKS, 411),
    "chunked and spaces": (post(b"Transfer-Encoding:  \tchunked \t") + _CHUNKS, 411),
    "chunked in a GET": (head(CHUNKED) + _CHUNKS, 411),
    "chunked after a length": (post(b"Content-Length: 5", CHUNKED) + _CHUNKS, 400),
    "chunked before a length": (post(CHUNKED, b"Content-Length: 5") + _CHUNKS, 400),
    "chunked in HTTP/1.0": (post(CHUNKED, version=b"1.0") + _CHUNKS, 400),
    "chunked twice": (post(CHUNKED, CHUNKED) + _CHUNKS, 501),
    "chunked, chunked": (post(b"Transfer-Encoding: chunked, chunked") + _CHUNKS, 501),
    "chunked and identity": (post(b"Transfer-Encoding: chunked, identity") + _CHUNKS, 501),
    "identity": (post(b"Transfer-Encoding: identity", b"Content-Length: 5") + _CHUNKS, 501),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked") + _CHUNKS, 501),
    "xchunked": (post(b"Transfer-Encoding: xchunked", b"Content-Length: 5") + _CHUNKS, 501),
    "chunked with a parameter": (post(b"Transfer-Encoding: chunked;q=1") + _CHUNKS, 501),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"') + _CHUNKS, 501),
    "no encoding": (post(b"Transfer-Encoding:", b"Content-Length: 5") + _CHUNKS, 501),
    "chunked after a vertical tab": (post(b"Transfer-Encoding:\x0bchunked") + _CHUNKS, 400),
    "chunked after NUL": (post(b"Transfer-Encoding: \0chunked") + _CHUNKS, 400),
    "chunked folded": (post(b"Transfer-Encoding:", b" chunked") + _CHUNKS, 400),
    "chunked before a colon": (post(b"Transfer-Encoding : chunked") + _CHUNKS, 400),
    "chunked in a name": (post(b"X: a\nTransfer-Encoding: chunked") + _CHUNKS, 400),
    # Ends of lines (RFC 9112 §2.2)
    "lines that end by LF": (head(first=b"GET /health HTTP/1.1", end=b"\n"), 400),
    "one line that ends by LF": (post(b"X-A: b\nContent-Length: 97"), 400),
    "one line that ends by CR": (post(b"X-A: b\rContent-Length: 97"), 400),
    "head that ends by LF": (b"GET /health HTTP/1.1\r\nHost: localhost\n\n", 400),
    "head that ends by LF CR LF": (b"GET /health HTTP/1.1\r\nHost: localhost\n\r\n", 400),
    "empty line of CR CR LF": (b"GET /health HTTP/1.1\r\nHost: localhost\r\r\n\r\n", 400),
    # A body where none may be
    "body of a handshake": (
        head(
            b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Content-Length: 97",
            first=b"GET /media HTTP/1.1",
        ),
        400,
    ),
}  # fmt: skip

REFUSED: dict[str, tuple[bytes, int]] = {
    **{f"malformed: {name}": case for name, case in MALFORMED.items()},
    **{f"smuggling: {name}": (raw + HIDDEN, code) for name, (raw, code) in SMUGGLING.items()},
}
"""All of them, by name."""


def padded(size: int) -> bytes:
    """A head of exactly `size` bytes in lines of a thousand, its empty line included."""
    raw = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    while (missing := size - len(raw) - 2) > 1010:
        raw += b"X-Pad: " + b"a" * 991 + b"\r\n"
    return raw + b"X-Pad: " + b"a" * (missing - 9) + b"\r\n\r\n"
