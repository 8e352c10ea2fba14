//! Requests that are malformed, ambiguous or merely odd, and what each gets. Each section says which rule decides.

use Gets::{BrokenOff, Forwarded, Refused};
use Then::{Closes, StaysOpen};

/// What a client sends at once on a connection of its own, and what comes of it.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What is odd about it.
    pub(crate) name: &'static str,
    /// The bytes.
    pub(crate) sent: Vec<u8>,
    /// What each request in them gets, in order.
    pub(crate) gets: Vec<Gets>,
    /// What becomes of the connection.
    pub(crate) then: Then,
}

/// What a request gets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gets {
    /// The backend's answer. The backend was sent this head, but for what Tidegate always adds (`X-Forwarded-*`, `X-Real-IP`,
    /// `X-Request-ID`), in lines sorted behind the first; and this body, with each trailer as a line behind it.
    Forwarded(&'static str, &'static str),
    /// An answer of Tidegate's with this status, for this reason, which the access log has. The backend was sent nothing.
    Refused(u16, &'static str),
    /// The same, but the backend may have been sent a beginning. It never has a whole request.
    BrokenOff(u16, &'static str),
}

/// What becomes of the client's connection after the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It serves another request.
    StaysOpen,
    /// It is closed, and nothing more came.
    Closes,
}

/// A GET of `/` as the backend sees it.
const GET: &str = "GET / HTTP/1.1\nhost: app.test";
/// A POST of `/` with chunks, as the backend sees it.
const CHUNKED: &str = "POST / HTTP/1.1\nhost: app.test\ntransfer-encoding: chunked";

/// Returns the table.
pub(crate) fn rows() -> Vec<Row> {
    [request_lines(), fields(), hosts(), targets(), lengths(), codings(), chunks(), connections()].concat()
}

fn row<const N: usize>(name: &'static str, sent: impl Into<Vec<u8>>, gets: [Gets; N], then: Then) -> Vec<Row> {
    vec![Row { name, sent: sent.into(), gets: gets.to_vec(), then }]
}

/// RFC 9112 §3: method, one space, target, one space, version. What is not that is 400 and the end of the connection, since nobody
/// knows where the next request begins.
fn request_lines() -> Vec<Row> {
    let bad = [Refused(400, "bad_request")];
    [
        row("as it should be", "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", [Forwarded(GET, "")], StaysOpen),
        row("no version (HTTP/0.9)", "GET /\r\n\r\n", bad, Closes),
        row("no target", "GET HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("no method", " / HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("HTTP/1.0 with Host", "GET / HTTP/1.0\r\nHost: app.test\r\n\r\n", [Forwarded(GET, "")], Closes),
        row(
            "HTTP/1.0 that keeps alive",
            "GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n",
            [Forwarded(GET, "")],
            StaysOpen,
        ),
        row("HTTP/1.2", "GET / HTTP/1.2\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("HTTP/2.0 in text", "GET / HTTP/2.0\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("HTTP/1.10", "GET / HTTP/1.10\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("http/1.1 in lower case", "GET / http/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("another protocol's name", "GET / ICY/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row(
            "a method in lower case is another method",
            "get / HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [Forwarded("get / HTTP/1.1\nhost: app.test", "")],
            StaysOpen,
        ),
        row(
            "a method nobody knows",
            "FROBNICATE / HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [Forwarded("FROBNICATE / HTTP/1.1\nhost: app.test", "")],
            StaysOpen,
        ),
        row("a method that is no token", "G(T / HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("a tab instead of a space", "GET\t/ HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("two spaces before the target", "GET  / HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("two spaces before the version", "GET /  HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        row("a space behind the version", "GET / HTTP/1.1 \r\nHost: app.test\r\n\r\n", bad, Closes),
        row("a space in the target", "GET /a b HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, Closes),
        // RFC 9112 §2.2: a server should ignore at least one empty line; a lone LF may end a line.
        row("an empty line before", "\r\nGET / HTTP/1.1\r\nHost: app.test\r\n\r\n", [Forwarded(GET, "")], StaysOpen),
        row("lone LFs end lines", "GET / HTTP/1.1\nHost: app.test\n\n", [Forwarded(GET, "")], StaysOpen),
        row("a lone CR ends a line", "GET / HTTP/1.1\rHost: app.test\r\r", bad, Closes),
        row("binary", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", bad, Closes),
    ]
    .concat()
}

/// RFC 9112 §5, RFC 9110 §5.5: a name is a token with a colon right behind it, a value has no control characters and does not go on in
/// the next line.
fn fields() -> Vec<Row> {
    let bad = [Refused(400, "bad_request")];
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: app.test\r\n{}\r\n", "X: y\r\n".repeat(count));
    let large = |bytes: usize| format!("GET / HTTP/1.1\r\nHost: app.test\r\nX: {}\r\n\r\n", "x".repeat(bytes));
    [
        row("a space before the colon", "GET / HTTP/1.1\r\nHost: app.test\r\nX : y\r\n\r\n", bad, Closes),
        row("a tab before the colon", "GET / HTTP/1.1\r\nHost: app.test\r\nX\t: y\r\n\r\n", bad, Closes),
        row("an empty name", "GET / HTTP/1.1\r\nHost: app.test\r\n: y\r\n\r\n", bad, Closes),
        row("no colon", "GET / HTTP/1.1\r\nHost: app.test\r\nX\r\n\r\n", bad, Closes),
        row("a name with a space", "GET / HTTP/1.1\r\nHost: app.test\r\nX Y: z\r\n\r\n", bad, Closes),
        row("a name that is not ASCII", b"GET / HTTP/1.1\r\nHost: app.test\r\nX\xe9: y\r\n\r\n", bad, Closes),
        row("a name with a NUL", b"GET / HTTP/1.1\r\nHost: app.test\r\nX\0: y\r\n\r\n", bad, Closes),
        row("a field that goes on in the next line", "GET / HTTP/1.1\r\nHost: app.test\r\nX: y\r\n z\r\n\r\n", bad, Closes),
        row("a space before the first field", "GET / HTTP/1.1\r\n Host: app.test\r\n\r\n", bad, Closes),
        row("a NUL in a value", b"GET / HTTP/1.1\r\nHost: app.test\r\nX: y\0z\r\n\r\n", bad, Closes),
        row("a control character in a value", b"GET / HTTP/1.1\r\nHost: app.test\r\nX: y\x08z\r\n\r\n", bad, Closes),
        row("a lone CR in a value", "GET / HTTP/1.1\r\nHost: app.test\r\nX: y\rEvil: z\r\n\r\n", bad, Closes),
        row(
            "a value that is not ASCII passes as it is",
            b"GET / HTTP/1.1\r\nHost: app.test\r\nX: caf\xe9\r\n\r\n",
            [Forwarded("GET / HTTP/1.1\nhost: app.test\nx: caf\u{e9}", "")],
            StaysOpen,
        ),
        row(
            "white space around a value is none of it",
            "GET / HTTP/1.1\r\nHost:app.test\r\nX: \t y z \t\r\nY:\r\n\r\n",
            [Forwarded("GET / HTTP/1.1\nhost: app.test\nx: y z\ny: ", "")],
            StaysOpen,
        ),
        // CGI and its heirs read `X_Real_IP` as `X-Real-IP`.
        row(
            "names with underscores that pass for ours or for framing are dropped, others not",
            "GET / HTTP/1.1\r\nHost: app.test\r\nX_Real_IP: 6.6.6.6\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\nX_Other: y\r\n\r\n",
            [Forwarded("GET / HTTP/1.1\nhost: app.test\nx_other: y", "")],
            StaysOpen,
        ),
        row(
            "what only a trusted proxy may say is replaced, and Forwarded and Proxy dropped",
            "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
             Proxy: http://evil.test\r\n\r\n",
            [Forwarded(GET, "")],
            StaysOpen,
        ),
        row("a hundred and one fields", many(100), [Refused(431, "headers_too_large")], Closes),
        row("fields of 70 KB, more than the limit", large(70_000), [Refused(431, "headers_too_large")], StaysOpen),
        row("fields of 120 KB, more than is read", large(120_000), [Refused(431, "headers_too_large")], Closes),
    ]
    .concat()
}

/// RFC 9112 §3.2: exactly one `Host`, which is an authority without user information, and agrees with the target's own.
fn hosts() -> Vec<Row> {
    let bad = [Refused(400, "bad_host")];
    [
        row("no Host", "GET / HTTP/1.1\r\n\r\n", bad, StaysOpen),
        row("no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", bad, Closes),
        row("Host twice", "GET / HTTP/1.1\r\nHost: app.test\r\nHost: evil.test\r\n\r\n", bad, StaysOpen),
        row("Host twice, the same", "GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n", bad, StaysOpen),
        row("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", bad, StaysOpen),
        row("a Host with a path", "GET / HTTP/1.1\r\nHost: app.test/x\r\n\r\n", bad, StaysOpen),
        row("a Host with user information", "GET / HTTP/1.1\r\nHost: app.test@evil.test\r\n\r\n", bad, StaysOpen),
        row("a Host with a space", "GET / HTTP/1.1\r\nHost: app.test evil.test\r\n\r\n", bad, StaysOpen),
        row("a Host that is not ASCII", b"GET / HTTP/1.1\r\nHost: app\xe9.test\r\n\r\n", bad, StaysOpen),
        row("a port that is no number", "GET / HTTP/1.1\r\nHost: app.test:8o\r\n\r\n", bad, StaysOpen),
        row("a port that is none", "GET / HTTP/1.1\r\nHost: app.test:65536\r\n\r\n", bad, StaysOpen),
        row("an IPv6 address without brackets", "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", bad, StaysOpen),
        row("an empty label", "GET / HTTP/1.1\r\nHost: app..test\r\n\r\n", bad, StaysOpen),
        row("an IPv6 address that no rule names", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", [Refused(404, "no_host")], StaysOpen),
        row("two hosts in one", "GET / HTTP/1.1\r\nHost: app.test,evil.test\r\n\r\n", [Refused(404, "no_host")], StaysOpen),
        row(
            "a port, capitals and a trailing dot go on as they are",
            "GET / HTTP/1.1\r\nHost: APP.test.:8080\r\n\r\n",
            [Forwarded("GET / HTTP/1.1\nhost: APP.test.:8080", "")],
            StaysOpen,
        ),
        row("Host and target agree", "GET http://app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n", [Forwarded(GET, "")], StaysOpen),
        row("Host and target differ", "GET http://app.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", bad, StaysOpen),
        row("Host and target differ in the port", "GET http://app.test:80/ HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, StaysOpen),
        row("a target with a host does not spare Host", "GET http://app.test/ HTTP/1.1\r\n\r\n", bad, StaysOpen),
        row("but in HTTP/1.0", "GET http://app.test/ HTTP/1.0\r\n\r\n", [Forwarded(GET, "")], Closes),
        row("user information in the target", "GET http://u@app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, StaysOpen),
    ]
    .concat()
}

/// The target goes on byte for byte, or the request is refused: no encoding may reach a path that the rules do not give.
fn targets() -> Vec<Row> {
    let bad = [Refused(400, "bad_path")];
    let unread = [Refused(400, "bad_request")];
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n\r\n");
    let long = |bytes: usize| get(&format!("/{}", "x".repeat(bytes)));
    [
        row("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n", bad, StaysOpen),
        row("CONNECT", "CONNECT app.test:80 HTTP/1.1\r\nHost: app.test:80\r\n\r\n", unread, StaysOpen),
        row("https in the target, over http", get("https://app.test/"), [Forwarded(GET, "")], StaysOpen),
        row("ftp in the target", get("ftp://app.test/"), unread, StaysOpen),
        row("a relative target", get("a/b"), unread, Closes),
        row("a fragment is cut", get("/a#b"), [Forwarded("GET /a HTTP/1.1\nhost: app.test", "")], StaysOpen),
        row(
            "escapes, empty segments and odd characters go on as they are",
            get("/%41//b%2fc\"{}|^?x=%zz&[]"),
            [Forwarded("GET /%41//b%2fc\"{}|^?x=%zz&[] HTTP/1.1\nhost: app.test", "")],
            StaysOpen,
        ),
        row("an escape that is not UTF-8", get("/%ff"), [Forwarded("GET /%ff HTTP/1.1\nhost: app.test", "")], StaysOpen),
        row("UTF-8 in the raw", get("/caf\u{e9}"), [Forwarded("GET /caf\u{c3}\u{a9} HTTP/1.1\nhost: app.test", "")], StaysOpen),
        row("not UTF-8 in the raw", b"GET /caf\xe9 HTTP/1.1\r\nHost: app.test\r\n\r\n", unread, Closes),
        row("<", get("/<a"), unread, Closes),
        row(">", get("/a>"), unread, Closes),
        row("< in the query", get("/?<a"), unread, Closes),
        row("a control character", b"GET /a\x01 HTTP/1.1\r\nHost: app.test\r\n\r\n", unread, Closes),
        row("a NUL", b"GET /a\0 HTTP/1.1\r\nHost: app.test\r\n\r\n", unread, Closes),
        row("an escaped NUL", get("/a%00"), bad, StaysOpen),
        row("an escape of one digit", get("/a%2"), bad, StaysOpen),
        row("an escape of no digits", get("/a%zz"), bad, StaysOpen),
        row("dot segments are resolved", get("/a/../b"), [Forwarded("GET /b HTTP/1.1\nhost: app.test", "")], StaysOpen),
        row("escaped ones too", get("/a/%2e%2E/b"), [Forwarded("GET /b HTTP/1.1\nhost: app.test", "")], StaysOpen),
        row("dot segments above the root", get("/../etc"), bad, StaysOpen),
        row("dot segments through an escaped slash", get("/a/..%2fb"), bad, StaysOpen),
        row("dot segments through a backslash", get("/a/..\\b"), bad, StaysOpen),
        row("dot segments through an escaped backslash", get("/a%5c..%5cb"), bad, StaysOpen),
        row("dot segments before a semicolon", get("/a/..;/b"), bad, StaysOpen),
        row(
            "two escapes deep is no dot segment",
            get("/a/%252e%252e/b"),
            [Forwarded("GET /a/%252e%252e/b HTTP/1.1\nhost: app.test", "")],
            StaysOpen,
        ),
        row("a target of 20 KB, more than the limit", long(20_000), [Refused(414, "target_too_long")], StaysOpen),
        row("a target of 70 KB, more than is read", long(70_000), [Refused(414, "target_too_long")], Closes),
    ]
    .concat()
}

/// RFC 9112 §6.3: a length is a number in digits; several are refused unless they are the same.
fn lengths() -> Vec<Row> {
    let bad = [Refused(400, "bad_request")];
    let post = |length: &str| format!("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {length}\r\n\r\nhello");
    let five = Forwarded("POST / HTTP/1.1\ncontent-length: 5\nhost: app.test", "hello");
    [
        row("a length", post("5"), [five], StaysOpen),
        row("white space around it", post(" \t5 "), [five], StaysOpen),
        row("two lengths that differ", post("5\r\nContent-Length: 6"), bad, Closes),
        row("two lengths that are the same", post("5\r\nContent-Length: 5"), [five], StaysOpen),
        row("a list of the same", post("5, 5"), bad, Closes),
        row("a sign", post("+5"), bad, Closes),
        row("a negative length", post("-1"), bad, Closes),
        row("a hexadecimal length", post("0x5"), bad, Closes),
        row("a space within", post("5 5"), bad, Closes),
        row("a fraction", post("5.0"), bad, Closes),
        row("no digits", post(""), bad, Closes),
        row("digits that are not ASCII", post("\u{665}"), bad, Closes),
        row("more than fits 64 bits", post("18446744073709551621"), bad, Closes),
        // hyper keeps the largest numbers for itself, and words it as it does what is too large.
        row("the largest number", post("18446744073709551615"), [Refused(431, "headers_too_large")], Closes),
        row("leading zeros", post("0005"), [Forwarded("POST / HTTP/1.1\ncontent-length: 0005\nhost: app.test", "hello")], StaysOpen),
        row(
            "a GET with a body, and the next request behind it",
            "GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [Forwarded("GET / HTTP/1.1\ncontent-length: 5\nhost: app.test", "hello"), Forwarded("GET /2 HTTP/1.1\nhost: app.test", "")],
            StaysOpen,
        ),
        row("bytes behind a body that are no request", format!("{}\x01garbage\r\n\r\n", post("5")), [five, bad[0]], Closes),
    ]
    .concat()
}

/// RFC 9112 §6.1 and §6.3: `chunked`, once, is all that is understood; what does not end in it has no end; beside a length it wins, and
/// the connection closes, since somebody before us may have gone by the length. HTTP/1.0 has none of it.
fn codings() -> Vec<Row> {
    let bad = [Refused(400, "bad_request")];
    let unknown = [Refused(501, "unknown_coding")];
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let hello = Forwarded(CHUNKED, "hello");
    // What a reader would take for the next request if it went by the length.
    let smuggling = |fields: &str| {
        let inner = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
        format!("POST / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n\r\n0\r\n\r\n{inner}")
    };
    [
        row("chunked", post("Transfer-Encoding: chunked"), [hello], StaysOpen),
        row("Chunked", post("Transfer-Encoding: Chunked"), [hello], StaysOpen),
        row("a length before chunked", post("Content-Length: 15\r\nTransfer-Encoding: chunked"), [hello], Closes),
        row("a length behind chunked", post("Transfer-Encoding: chunked\r\nContent-Length: 15"), [hello], Closes),
        row(
            "a length before chunked that hides a request",
            smuggling("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            [Forwarded(CHUNKED, "")],
            Closes,
        ),
        row(
            "a length behind chunked that hides a request",
            smuggling("Transfer-Encoding: chunked\r\nContent-Length: 48"),
            [Forwarded(CHUNKED, "")],
            Closes,
        ),
        row("a bad length before chunked", post("Content-Length: x\r\nTransfer-Encoding: chunked"), bad, Closes),
        row(
            "two lengths that differ around chunked",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6"),
            [hello],
            Closes,
        ),
        row("chunked is not the last", post("Transfer-Encoding: chunked, gzip"), bad, Closes),
        row("chunked is not the last, in two lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip"), bad, Closes),
        row("gzip alone", post("Transfer-Encoding: gzip"), bad, Closes),
        row("identity", post("Transfer-Encoding: identity"), bad, Closes),
        row("xchunked", post("Transfer-Encoding: xchunked"), bad, Closes),
        row("chunked with a parameter", post("Transfer-Encoding: chunked;q=1"), bad, Closes),
        row("chunked in quotes", post("Transfer-Encoding: \"chunked\""), bad, Closes),
        row("no coding", post("Transfer-Encoding:"), bad, Closes),
        row("a comma behind chunked", post("Transfer-Encoding: chunked,"), bad, Closes),
        row("a vertical tab before chunked", post("Transfer-Encoding: \x0bchunked"), bad, Closes),
        row("a form feed behind chunked", post("Transfer-Encoding: chunked\x0c"), bad, Closes),
        row("a space before the colon of the coding", post("Transfer-Encoding : chunked"), bad, Closes),
        row("the coding in the next line", post("Transfer-Encoding:\r\n chunked"), bad, Closes),
        row("gzip and chunked", post("Transfer-Encoding: gzip, chunked"), unknown, Closes),
        row("chunked twice", post("Transfer-Encoding: chunked, chunked"), unknown, Closes),
        row("chunked in two lines", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), unknown, Closes),
        row("identity and chunked, in two lines", post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), unknown, Closes),
        row("chunked in HTTP/1.0", post("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0"), bad, Closes),
    ]
    .concat()
}

/// RFC 9112 §7.1: a size in hexadecimal digits, CR LF, so many bytes, CR LF. Extensions go no further; trailers do, but for those that
/// belong in a head. What breaks off is broken off at the backend too.
fn chunks() -> Vec<Row> {
    let bad = [BrokenOff(400, "bad_request")];
    let post = |body: &str| format!("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let hello = [Forwarded(CHUNKED, "hello")];
    [
        row(
            "sizes in capitals and with leading zeros",
            post("00A\r\nhellohello\r\n0\r\n\r\n"),
            [Forwarded(CHUNKED, "hellohello")],
            StaysOpen,
        ),
        row("an extension goes no further", post("5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n"), hello, StaysOpen),
        row("white space behind a size", post("5 \r\nhello\r\n0\r\n\r\n"), hello, StaysOpen),
        row("a size with 0x", post("0x5\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a negative size", post("-5\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a sign before a size", post("+5\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("no size", post("\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a size that is no number", post("g\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a size beyond 64 bits", post("10000000000000005\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a space before a size", post(" 5\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a lone LF behind a size", post("5\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a lone LF behind a chunk", post("5\r\nhello\n0\r\n\r\n"), bad, Closes),
        row("a lone LF in an extension", post("5;a\nb\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("a lone CR in an extension", post("5;a\rb\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("nothing behind a chunk", post("5\r\nhello0\r\n\r\n"), bad, Closes),
        row("a chunk longer than it says", post("4\r\nhello\r\n0\r\n\r\n"), bad, Closes),
        row("an extension of 20 KB", post(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000))), bad, Closes),
        row("a trailer without a colon", post("5\r\nhello\r\n0\r\nX\r\n\r\n"), bad, Closes),
        row("trailers of 120 KB", post(&format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "x".repeat(120_000))), bad, Closes),
        row(
            "a trailer that was announced",
            "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n",
            [Forwarded("POST / HTTP/1.1\nhost: app.test\ntrailer: X-Sum\ntransfer-encoding: chunked", "hello\nx-sum: 7")],
            StaysOpen,
        ),
        row(
            "trailers that belong in a head are dropped",
            "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Real-IP, Content-Length, Host, X-Sum\r\n\r\n\
             5\r\nhello\r\n0\r\nX-Real-IP: 6.6.6.6\r\nContent-Length: 50\r\nHost: evil.test\r\nX-Sum: 7\r\n\r\n",
            [Forwarded(
                "POST / HTTP/1.1\nhost: app.test\ntrailer: X-Real-IP, Content-Length, Host, X-Sum\ntransfer-encoding: chunked",
                "hello\nx-sum: 7",
            )],
            StaysOpen,
        ),
    ]
    .concat()
}

/// RFC 9110 §7.6.1: what `Connection` names is for us alone, but for what a message is not itself without. §7.8: an upgrade waits for
/// the body. §10.1.1: what is expected is ours to fulfil. RFC 9112 §9.3.2: answers come in the order of requests.
fn connections() -> Vec<Row> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n\r\n");
    [
        row("close", get("Connection: close"), [Forwarded(GET, "")], Closes),
        row("close among others", get("Connection: x, Close\r\nX: y"), [Forwarded(GET, "")], Closes),
        row("keep-alive cannot take back close", get("Connection: close\r\nConnection: keep-alive"), [Forwarded(GET, "")], Closes),
        row("Host is not named away", get("Connection: Host"), [Forwarded(GET, "")], StaysOpen),
        row(
            "a length is not named away",
            "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
            [Forwarded("POST / HTTP/1.1\ncontent-length: 5\nhost: app.test", "hello")],
            StaysOpen,
        ),
        // The backend's copies of these are ours, and always there: the harness checks it.
        row("what we add is not named away", get("Connection: X-Forwarded-For, X-Real-IP, X-Request-ID"), [Forwarded(GET, "")], StaysOpen),
        row(
            "hop-by-hop fields go no further",
            get("Keep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers, gzip"),
            [Forwarded(GET, "")],
            StaysOpen,
        ),
        row(
            "an upgrade with a body, which the backend refuses",
            "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello",
            [Forwarded("POST / HTTP/1.1\nconnection: upgrade\ncontent-length: 5\nhost: app.test\nupgrade: websocket", "hello")],
            StaysOpen,
        ),
        row("an upgrade that Connection does not name", get("Upgrade: websocket"), [Forwarded(GET, "")], StaysOpen),
        row(
            "an upgrade to HTTP/2 goes no further: it would hide what follows from every rule",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
            [Forwarded(GET, "")],
            StaysOpen,
        ),
        row(
            "an upgrade in HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: app.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            [Forwarded(GET, "")],
            Closes,
        ),
        row(
            "an expectation is ours to fulfil",
            "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
            [Forwarded("POST / HTTP/1.1\ncontent-length: 5\nhost: app.test", "hello")],
            StaysOpen,
        ),
        row("an expectation that nobody knows", get("Expect: cake"), [Forwarded(GET, "")], StaysOpen),
        row(
            "three requests at once",
            "GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: app.test\r\n\r\nGET /3 HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [
                Forwarded("GET /1 HTTP/1.1\nhost: app.test", ""),
                Forwarded("GET /2 HTTP/1.1\nhost: app.test", ""),
                Forwarded("GET /3 HTTP/1.1\nhost: app.test", ""),
            ],
            StaysOpen,
        ),
        row(
            "the second of two is malformed",
            "GET / HTTP/1.1\r\nHost: app.test\r\n\r\nGET /\0 HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [Forwarded(GET, ""), Refused(400, "bad_request")],
            Closes,
        ),
        row(
            "the second of three is refused and the third served",
            "GET / HTTP/1.1\r\nHost: app.test\r\n\r\nGET /%00 HTTP/1.1\r\nHost: app.test\r\n\r\nGET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [Forwarded(GET, ""), Refused(400, "bad_path"), Forwarded(GET, "")],
            StaysOpen,
        ),
        row(
            "what stands behind the last request of a connection is not read",
            "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n",
            [Forwarded(GET, "")],
            Closes,
        ),
    ]
    .concat()
}
