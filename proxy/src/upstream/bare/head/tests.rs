use super::*;

/// Reads a head that comes byte by byte; returns what it says, and what was left.
fn read_slowly(method: &Method, text: &str) -> Result<Option<(Head, Vec<u8>)>, InvalidHead> {
    let mut fields = HeaderMap::new();
    fields.insert("of-the-request", HeaderValue::from_static("gone"));
    let mut bytes = BytesMut::new();
    for (at, byte) in text.bytes().enumerate() {
        bytes.extend_from_slice(&[byte]);
        if let Some(head) = read(&mut bytes, method, &mut fields)? {
            assert!(bytes.is_empty() && fields.is_empty());
            return Ok(Some((head, text.as_bytes().get(at + 1..).unwrap_or_default().to_vec())));
        }
    }
    Ok(None)
}

#[test]
fn the_framing_and_the_persistence_are_those_of_rfc_9112() {
    use Framing::{Close, Length, Over};
    let chunked = Framing::Chunked(Chunk::Size);
    for (method, head, framing, persists) in [
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Length(5), true),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5 , 5\r\n", Length(5), true),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n", Length(0), true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", Over, true),
        (Method::HEAD, "HTTP/1.1 200 OK\r\n", Over, true),
        (Method::GET, "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n", Over, true),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n", Over, true),
        (Method::GET, "HTTP/1.1 200 OK\r\n", Close, false),
        (Method::GET, "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n", Close, false),
        (Method::GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", chunked.clone(), true),
        (Method::GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n", chunked.clone(), true),
        (Method::GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", chunked.clone(), true),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", chunked, true),
        (Method::GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n", Close, false),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: a, Close\r\n", Length(5), false),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\nconnection: keep-alive\r\n", Length(5), false),
        (Method::GET, "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n", Length(5), false),
        (Method::GET, "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nconnection: Keep-Alive\r\n", Length(5), true),
        (Method::GET, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n", Over, false),
    ] {
        let (read, rest) = read_slowly(&method, &format!("{head}\r\nbody")).unwrap().unwrap();
        assert_eq!((read.framing, read.persists, rest.as_slice()), (framing, persists, &b"body"[..]), "{method} {head}");
    }
}

#[test]
fn interim_responses_are_passed_over() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 201 Made\r\ncontent-length: 0\r\nA: 1\r\na: \r\n\r\n";
    let (head, _) = read_slowly(&Method::GET, text).unwrap().unwrap();
    let fields: Vec<_> = head.response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(head.response.status(), StatusCode::CREATED);
    assert_eq!(fields, [("content-length", &b"0"[..]), ("a", b"1"), ("a", b"")]);
    assert_eq!(head.response.extensions().get::<ReasonPhrase>().map(ReasonPhrase::as_bytes), Some(&b"Made"[..]));
    assert!(read_slowly(&Method::GET, "HTTP/1.1 100 Continue\r\n\r\n").unwrap().is_none());
}

#[test]
fn what_is_no_response_is_an_error() {
    let many: String = (0..=MOST_FIELDS).map(|at| format!("a{at}: b\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
    for text in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        &many,
    ] {
        assert!(read_slowly(&Method::GET, text).is_err(), "{text}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(LARGEST));
    assert!(matches!(read(&mut endless.as_bytes().into(), &Method::GET, &mut HeaderMap::new()), Err(InvalidHead::TooLarge)));
}

/// One more field.
struct One;

impl MoreFields for One {
    fn insert_into(&self, headers: &mut HeaderMap) {
        headers.insert("x-more", HeaderValue::from_static("3"));
    }

    fn write_to(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"x-more: 3\r\n");
    }
}

#[test]
fn a_request_is_written_with_its_target_in_origin_form() {
    for (target, expected) in [("/a%20b?c", "/a%20b?c"), ("http://a.test", "/"), ("http://a.test/b?c", "/b?c"), ("*", "*")] {
        let request = Request::options(target).header("Host", "a.test").header("X-A", "").header("x-a", "2").body(()).unwrap();
        let mut text = Vec::new();
        write(&mut text, &request, &One);
        let fields = "host: a.test\r\nx-a: \r\nx-a: 2\r\nx-more: 3";
        assert_eq!(String::from_utf8(text).unwrap(), format!("OPTIONS {expected} HTTP/1.1\r\n{fields}\r\n\r\n"));
    }
}
