//! Requests over HTTP/2 that must not become others in HTTP/1.1, and what each gets. A library that was told to check nothing sends them;
//! the backend is the strict one.

use std::net::Ipv4Addr;

use anyhow::{bail, ensure};
use serde_json::{Value, json};
use tidegate_tests::front::{Front, Route};
use tidegate_tests::python;

use super::backend::{Arrived, Recorder};
use super::{check_added, split};

/// A request, and what it gets.
struct Row {
    name: &'static str,
    request: Value,
    /// Status and reason, or how the stream or the connection was ended.
    answer: &'static str,
    /// The head and the body that the backend was sent, if any.
    sent: Option<(&'static str, &'static str)>,
}

type Fields = &'static [(&'static str, &'static str)];

const MALFORMED: &str = "reset PROTOCOL_ERROR";
/// What is no field at all costs the connection: the h2 library reads no further.
const UNREADABLE: &str = "goaway PROTOCOL_ERROR";
const GET: &str = "GET / HTTP/1.1\nhost: app.test";

/// A request of `/` for `app.test` with these fields besides.
fn get(name: &'static str, fields: Fields, answer: &'static str, sent: Option<(&'static str, &'static str)>) -> Row {
    let usual: Fields = &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app.test")];
    let fields = [usual, fields].concat();
    Row { name, request: json!({"fields": fields, "body": "", "trailers": null}), answer, sent }
}

/// A request with these fields alone.
fn bare(name: &'static str, fields: Fields, answer: &'static str, sent: Option<(&'static str, &'static str)>) -> Row {
    Row { name, request: json!({"fields": fields, "body": "", "trailers": null}), answer, sent }
}

/// A request for this path.
fn path(name: &'static str, path: &str, answer: &'static str, sent: Option<(&'static str, &'static str)>) -> Row {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "app.test")];
    Row { name, request: json!({"fields": fields, "body": "", "trailers": null}), answer, sent }
}

/// A POST with these fields, this body and these trailers.
fn post(
    name: &'static str,
    (fields, body, trailers): (Fields, &str, Fields),
    answer: &'static str,
    sent: Option<(&'static str, &'static str)>,
) -> Row {
    let usual: Fields = &[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "app.test")];
    let trailers = if trailers.is_empty() { Value::Null } else { json!(trailers) };
    let fields = [usual, fields].concat();
    Row { name, request: json!({"fields": fields, "body": body, "trailers": trailers}), answer, sent }
}

/// RFC 9113 §8.2 and §8.3: what is malformed is a stream error; what is well-formed follows the rules of HTTP/1.1.
fn rows() -> Vec<Row> {
    vec![
        get("as it should be", &[], "200 ok", Some((GET, ""))),
        get("a transfer coding", &[("transfer-encoding", "chunked")], MALFORMED, None),
        get("Connection", &[("connection", "close")], MALFORMED, None),
        get("Upgrade", &[("upgrade", "websocket")], MALFORMED, None),
        get("TE that is not trailers", &[("te", "gzip")], MALFORMED, None),
        get("a name in capitals", &[("X-Y", "z")], UNREADABLE, None),
        get("a name with a space", &[("x y", "z")], UNREADABLE, None),
        get("a name with a colon", &[("x:y", "z")], UNREADABLE, None),
        get("a name with a line break", &[("x: y\r\nevil", "z")], UNREADABLE, None),
        get("a value with a line break", &[("x", "y\r\nevil: z")], UNREADABLE, None),
        get("a value with a second request", &[("x", "y\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: app.test")], UNREADABLE, None),
        get("a value with a NUL", &[("x", "y\0z")], UNREADABLE, None),
        get("a pseudo-field behind others", &[("x", "y"), (":path", "/other")], MALFORMED, None),
        get("a pseudo-field twice", &[(":path", "/other")], MALFORMED, None),
        get("a pseudo-field nobody knows", &[(":evil", "x")], UNREADABLE, None),
        get("a Host that agrees", &[("host", "app.test")], "200 ok", Some((GET, ""))),
        get("a Host that differs", &[("host", "evil.test")], "400 bad_host", None),
        get("two Hosts", &[("host", "app.test"), ("host", "app.test")], "400 bad_host", None),
        get("cookies in pieces are one", &[("cookie", "a=1"), ("cookie", "b=2")], "200 ok", {
            Some(("GET / HTTP/1.1\ncookie: a=1; b=2\nhost: app.test", ""))
        }),
        get("names with underscores that pass for framing", &[("transfer_encoding", "chunked"), ("content_length", "9")], "200 ok", {
            Some((GET, ""))
        }),
        bare("no authority but Host", &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "app.test")], "200 ok", {
            Some((GET, ""))
        }),
        bare("neither authority nor Host", &[(":method", "GET"), (":scheme", "http"), (":path", "/")], "400 bad_host", None),
        bare("no path", &[(":method", "GET"), (":scheme", "http"), (":authority", "app.test")], MALFORMED, None),
        bare("no method", &[(":scheme", "http"), (":path", "/"), (":authority", "app.test")], MALFORMED, None),
        bare(
            "a method with a request line in it",
            &[(":method", "GET /smuggled HTTP/1.1\r\nx: "), (":scheme", "http"), (":path", "/"), (":authority", "app.test")],
            UNREADABLE,
            None,
        ),
        bare(
            "an authority with user information",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app.test@evil.test")],
            "400 bad_host",
            None,
        ),
        bare(
            "an authority with a line break",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "app.test\r\nx: y")],
            MALFORMED,
            None,
        ),
        bare(
            "another scheme",
            &[(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "app.test")],
            "400 bad_request",
            None,
        ),
        bare("CONNECT", &[(":method", "CONNECT"), (":authority", "app.test:80")], "400 bad_request", None),
        path("an empty path", "", MALFORMED, None),
        path("a path with a request line in it", "/ HTTP/1.1\r\nhost: app.test\r\n\r\nGET /smuggled", MALFORMED, None),
        path("a path with a space", "/a b", MALFORMED, None),
        path("a path without a slash", "a", MALFORMED, None),
        path("an asterisk", "*", "400 bad_path", None),
        path("dot segments through an escaped slash", "/a/..%2fb", "400 bad_path", None),
        path("dot segments are resolved", "/a/../b", "200 ok", Some(("GET /b HTTP/1.1\nhost: app.test", ""))),
        post("a length", (&[("content-length", "5")], "hello", &[]), "200 ok", {
            Some(("POST / HTTP/1.1\ncontent-length: 5\nhost: app.test", "hello"))
        }),
        post("no length", (&[], "hello", &[]), "200 ok", {
            Some(("POST / HTTP/1.1\nhost: app.test\ntransfer-encoding: chunked", "hello"))
        }),
        post("a length that is too small", (&[("content-length", "3")], "hello", &[]), MALFORMED, None),
        post("a length that is too large", (&[("content-length", "9")], "hello", &[]), MALFORMED, None),
        post("two lengths that differ", (&[("content-length", "5"), ("content-length", "6")], "hello", &[]), MALFORMED, None),
        post("a length that is no number", (&[("content-length", "+5")], "hello", &[]), MALFORMED, None),
        post(
            "trailers that belong in a head are dropped",
            (&[("trailer", "x-real-ip, x-sum")], "hello", &[("x-real-ip", "6.6.6.6"), ("x-sum", "7")]),
            "200 ok",
            Some(("POST / HTTP/1.1\nhost: app.test\ntrailer: x-real-ip, x-sum\ntransfer-encoding: chunked", "hello\nx-sum: 7")),
        ),
        // The library lets it fall.
        post("a pseudo-field in trailers", (&[], "hello", &[(":path", "/other")]), "200 ok", {
            Some(("POST / HTTP/1.1\nhost: app.test\ntransfer-encoding: chunked", "hello"))
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_odd_request_over_http2_becomes_another_in_http1() -> anyhow::Result<()> {
    let backend = Recorder::start().await?;
    let front = Front::start(&[Route::plain("app.test", backend.address)], &["--workers=1".to_owned()]).await?;
    // Behind each row goes a request that follows: whatever was still on its way to the backend is there before it.
    let next = get("next", &[("next", "")], "", None).request;
    let rows = rows();
    let requests: Vec<_> = rows.iter().flat_map(|row| [&row.request, &next]).collect();
    let port = front.tidegate.http.port().to_string();
    let answers = tokio::task::block_in_place(|| python::ask_about("odd_http2.py", &[&port], &json!(requests)))?;
    let answers: Vec<String> = serde_json::from_value(answers)?;
    // What was broken off is no request.
    let mut arrived = backend.take().into_iter().filter(|arrived| arrived.broken.is_none());
    let mut wrong = Vec::new();
    for (row, answers) in rows.iter().zip(answers.chunks(2)) {
        let arrived: Vec<_> = arrived.by_ref().take_while(|arrived| !arrived.fields.iter().any(|field| field == "next: ")).collect();
        if let Err(error) = check(row, answers, &arrived) {
            wrong.push(format!("{}: {error:#}", row.name));
        }
    }
    ensure!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}

fn check(row: &Row, answers: &[String], arrived: &[Arrived]) -> anyhow::Result<()> {
    ensure!(answers == [row.answer, "200 ok"], "it got {answers:?}, not {:?}; the backend was sent {arrived:?}", row.answer);
    match (row.sent, arrived) {
        (None, []) => Ok(()),
        (Some((head, body)), [one]) => {
            let (sent, added) = split(one);
            ensure!((&*sent, &*one.body) == (head, body), "the backend was sent {one:?}");
            check_added(&added, &Ipv4Addr::LOCALHOST.to_string())
        }
        (_, other) => bail!("the backend was sent {other:?}"),
    }
}
