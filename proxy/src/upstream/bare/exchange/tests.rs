//! What an exchange makes of a response is what hyper's client makes of it.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

/// What is left of a response.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    None,
    Some { status: u16, fields: Vec<(String, Vec<u8>)>, body: Vec<u8>, trailers: Vec<(String, Vec<u8>)>, whole: bool },
}

fn fields(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// Answers one request with these bytes, in pieces, and closes.
async fn answer(mut far: DuplexStream, pieces: Vec<Vec<u8>>) {
    let mut head = BytesMut::new();
    while !head.ends_with(b"\r\n\r\n") {
        far.read_buf(&mut head).await.unwrap();
    }
    for piece in pieces {
        if far.write_all(&piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn ours(method: Method, pieces: Vec<Vec<u8>>) -> Outcome {
    let (near, far) = duplex(64 * 1024);
    let far = tokio::spawn(answer(far, pieces));
    let (mut exchange, room, mut map) = (Exchange::new(near), Room::default(), HeaderMap::new());
    let text = format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n");
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, text.as_bytes()))).await.unwrap();
    let Ok(response) = poll_fn(|cx| exchange.poll_response(cx, &room, &method, &mut map)).await else { return Outcome::None };
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    let whole = loop {
        match poll_fn(|cx| exchange.poll_frame(cx, &room)).await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = fields(&frame.into_trailers().unwrap()),
            },
        }
    };
    far.await.unwrap();
    Outcome::Some { status: response.status().as_u16(), fields: fields(response.headers()), body, trailers, whole }
}

async fn hypers(method: Method, pieces: Vec<Vec<u8>>) -> Outcome {
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(answer(far, pieces));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::builder().method(method).uri("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let Ok(response) = sender.send_request(request).await else { return Outcome::None };
    let (parts, mut incoming) = response.into_parts();
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    let whole = loop {
        match incoming.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = fields(&frame.into_trailers().unwrap()),
            },
        }
    };
    Outcome::Some { status: parts.status.as_u16(), fields: fields(&parts.headers), body, trailers, whole }
}

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(choices)
}

/// Responses as endpoints write them, and as they should not.
fn responses() -> impl Strategy<Value = Vec<u8>> {
    let interim = text(&["", "", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]);
    let line = text(&[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 404\r\n",
        "HTTP/1.1 299 Fine by me\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.1 1000 No\r\n",
        "HTTP/1.2 200 OK\r\n",
        "ICY 200 OK\r\n",
        "HTTP/1.1 200 OK\n",
    ]);
    let field = text(&[
        "content-length: 5\r\n",
        "content-length: 5\r\n",
        "Content-Length:5, 5\r\n",
        "content-length: 6\r\n",
        "content-length: 0\r\n",
        "content-length: five\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: gzip, CHUNKED\r\n",
        "transfer-encoding: gzip\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "x-a: b\r\n",
        "X-A:\t c d \r\n",
        "x-high: \u{e9}\r\n",
        "x-empty:\r\n",
        "x-space : b\r\n",
        "x-fold: b\r\n c\r\n",
        "x-bare: b\n",
        "no field\r\n",
    ]);
    let body = text(&[
        "",
        "hello",
        "hello and more",
        "hell",
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n003;a=b\r\nllo\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhello\r\n",
        "5\r\nhell",
        "4\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "z\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
    ]);
    (interim, line, prop::collection::vec(field, 0..4), body)
        .prop_map(|(interim, line, fields, body)| [interim, line, &fields.concat(), "\r\n", body].concat().into_bytes())
}

/// Cuts bytes at these places.
fn pieces(bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn responses_are_read_as_hyper_reads_them(
        head in any::<bool>(),
        bytes in responses(),
        changed in prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut bytes = bytes;
        if let Some((at, byte)) = changed {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let method = if head { Method::HEAD } else { Method::GET };
        let pieces = pieces(&bytes, &cuts);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let both = async { tokio::join!(ours(method.clone(), pieces.clone()), hypers(method, pieces)) };
        let (ours, hypers) = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), both).await }).unwrap();
        prop_assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(&bytes));
    }
}

/// Sends a head on the exchange and reads the head of the response.
async fn exchanged(exchange: &mut Exchange<DuplexStream>, room: &Room) -> Result<Response<()>, NoResponse> {
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, b"GET / HTTP/1.1\r\n\r\n"))).await?;
    poll_fn(|cx| exchange.poll_response(cx, room, &Method::GET, &mut HeaderMap::new())).await
}

#[tokio::test]
async fn exchanges_follow_one_another_on_one_stream() {
    let (near, mut far) = duplex(1024);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    for body in ["one", "two", "three"] {
        assert!(exchange.is_silent());
        far.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
        exchanged(&mut exchange, &room).await.unwrap();
        assert_eq!(exchange.whole().unwrap(), body);
        assert!(exchange.is_over() && exchange.end());
    }
    far.write_all(b"unasked").await.unwrap();
    assert!(!exchange.is_silent());
}

#[tokio::test]
async fn a_stream_with_more_than_the_response_serves_no_other_request() {
    let (near, mut far) = duplex(1024);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more").await.unwrap();
    exchanged(&mut exchange, &room).await.unwrap();
    assert_eq!(exchange.whole().unwrap(), "ok");
    assert!(!exchange.end());
}

#[tokio::test]
async fn a_request_that_was_not_written_is_told_from_one_that_was() {
    let (near, far) = duplex(8);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    drop(far);
    assert!(!exchange.is_silent());
    assert!(matches!(exchanged(&mut exchange, &room).await, Err(NoResponse::Untouched(_))));
    let (near, far) = duplex(8);
    let mut exchange = Exchange::new(near);
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, b"GET / HTTP/1.1\r\n\r\n"))).await.unwrap();
    drop(far);
    let answered = poll_fn(|cx| exchange.poll_response(cx, &room, &Method::GET, &mut HeaderMap::new())).await;
    assert!(matches!(answered, Err(NoResponse::Broken(_))));
}

#[tokio::test]
async fn a_head_that_is_not_taken_at_once_is_written_while_the_response_is_awaited() {
    let (near, mut far) = duplex(8);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    let text = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(200));
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, text.as_bytes()))).await.unwrap();
    let endpoint = async {
        let mut taken = vec![0; text.len()];
        far.read_exact(&mut taken).await.unwrap();
        far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        taken
    };
    let mut map = HeaderMap::new();
    let (taken, answered) = tokio::join!(endpoint, poll_fn(|cx| exchange.poll_response(cx, &room, &Method::GET, &mut map)));
    assert_eq!((String::from_utf8(taken).unwrap(), answered.unwrap().status().as_u16()), (text, 204));
    assert!(exchange.end());
}

#[tokio::test]
async fn an_answer_to_half_a_request_ends_the_stream() {
    let (near, mut far) = duplex(64);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    let text = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(200));
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, text.as_bytes()))).await.unwrap();
    far.write_all(b"HTTP/1.1 431 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let answered = poll_fn(|cx| exchange.poll_response(cx, &room, &Method::GET, &mut HeaderMap::new())).await;
    assert_eq!(answered.unwrap().status().as_u16(), 431);
    assert!(!exchange.end());
}

#[tokio::test]
async fn an_answer_to_half_a_request_counts_although_no_more_can_be_written() {
    let (near, mut far) = duplex(64);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    let text = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(200));
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, text.as_bytes()))).await.unwrap();
    far.write_all(b"HTTP/1.1 431 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    drop(far);
    let answered = poll_fn(|cx| exchange.poll_response(cx, &room, &Method::GET, &mut HeaderMap::new())).await;
    assert_eq!(answered.unwrap().status().as_u16(), 431);
    assert!(!exchange.end());
}

#[tokio::test]
async fn a_task_that_has_had_its_share_still_sees_that_a_stream_is_closed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut exchange = Exchange::new(near);
    drop(listener.accept().await.unwrap());
    tokio::time::sleep(Duration::from_millis(20)).await;
    poll_fn(|cx| {
        while let Poll::Ready(progress) = tokio::task::coop::poll_proceed(cx) {
            progress.made_progress();
        }
        Poll::Ready(())
    })
    .await;
    assert!(!exchange.is_silent());
}

#[tokio::test]
async fn an_interim_response_leaves_the_request_as_it_was() {
    let (near, mut far) = duplex(1024);
    let (mut exchange, room, mut fields) = (Exchange::new(near), Room::default(), HeaderMap::new());
    fields.insert("of-the-request", http::HeaderValue::from_static("here"));
    poll_fn(|cx| Poll::Ready(exchange.begin(cx, b"GET / HTTP/1.1\r\n\r\n"))).await.unwrap();
    far.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.unwrap();
    drop(far);
    let answered = poll_fn(|cx| exchange.poll_response(cx, &room, &Method::GET, &mut fields)).await;
    assert!(matches!(answered, Err(NoResponse::Broken(_))));
    assert!(fields.contains_key("of-the-request") && fields.len() == 1);
}

#[tokio::test]
async fn a_large_body_comes_in_ever_larger_pieces_and_the_next_at_once() {
    let (near, mut far) = duplex(1024 * 1024);
    let (mut exchange, room) = (Exchange::new(near), Room::default());
    for (length, most) in [(40_000, 3), (40_000, 2), (40_000, 1), (700_000, 6), (200_000, 1), (2, 1), (70_000, 1)] {
        let body = vec![b'x'; length];
        far.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.unwrap();
        far.write_all(&body).await.unwrap();
        exchanged(&mut exchange, &room).await.unwrap();
        let (mut pieces, mut bytes) = (0, 0);
        while let Some(frame) = poll_fn(|cx| exchange.poll_frame(cx, &room)).await {
            (pieces, bytes) = (pieces + 1, bytes + frame.unwrap().into_data().unwrap().len());
        }
        assert_eq!(bytes, length);
        assert!(pieces <= most, "{pieces} for {length}");
        assert!(exchange.end());
    }
}
