//! Limits of time on clients that are slow, silent or gone.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tidegate_proxy::error::Reason;
use tidegate_proxy::model::Limits;
use tidegate_proxy::observe::{Logger, Metrics};
use tidegate_proxy::server::Running;
use tidegate_proxy::settings::{AccessLog, LogFormat};
use tidegate_proxy::state::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::world::*;

const SHORT: Duration = Duration::from_millis(400);
/// No test passes by waiting as long as this.
const LONG: Duration = Duration::from_secs(60);

fn limited(limits: Limits) -> Running {
    let mut limited = listener("http");
    limited.limits = limits.into();
    start(settings(), vec![limited])
}

fn long() -> Limits {
    Limits { header_timeout: LONG, keep_alive: LONG, h2_idle: LONG, write_timeout: LONG, ..limits() }
}

fn about_short(waited: Duration) -> bool {
    (SHORT - Duration::from_millis(50)..SHORT + Duration::from_secs(5)).contains(&waited)
}

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let running = limited(Limits { header_timeout: SHORT, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let begin = tokio::time::Instant::now();
    let (mut reading, mut writing) = stream.split();
    let trickle = async {
        while writing.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = closed(&mut reading) => {}
        () = trickle => {}
    }
    assert!(about_short(begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_head_of_a_later_request_has_the_same_time() {
    let running = limited(Limits { header_timeout: SHORT, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    exchange(&mut stream, HEAD).await;
    // Idle for longer than a head may take: that is another limit's matter.
    tokio::time::sleep(SHORT * 2).await;
    exchange(&mut stream, HEAD).await;
    stream.write_all(b"GET / HT").await.unwrap();
    let waited = closed(&mut stream).await;
    assert!(about_short(waited), "{waited:?}");
}

#[tokio::test]
async fn an_idle_http1_connection_is_closed() {
    let running = limited(Limits { keep_alive: SHORT, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    exchange(&mut stream, HEAD).await;
    let waited = closed(&mut stream).await;
    assert!(about_short(waited), "{waited:?}");
}

#[tokio::test]
async fn a_client_that_never_says_anything_is_closed() {
    let running = limited(Limits { header_timeout: SHORT, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let waited = closed(&mut stream).await;
    assert!(about_short(waited), "{waited:?}");
}

#[tokio::test]
async fn an_idle_http2_connection_goes_away() {
    let running = limited(Limits { h2_idle: SHORT, ..long() });
    let (mut client, connection) = http2(TcpStream::connect(address(&running, "http")).await.unwrap()).await;
    get_http2(&mut client).await.unwrap();
    let begin = tokio::time::Instant::now();
    tokio::time::timeout(SOON, connection).await.unwrap().unwrap().unwrap();
    assert!(about_short(begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_response_is_cut() {
    let backend = Backend::start().await;
    let (mut listener, state) = forwarding("http", backend.address);
    listener.limits = Limits { write_timeout: SHORT, ..long() }.into();
    let running = start_with(settings(), vec![listener], state);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let begin = tokio::time::Instant::now();
    assert!(exchange(&mut stream, "GET /big/64000000 HTTP/1.1\r\nHost: test\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    eventually("it is cut", || running.connections() == 0).await;
    assert!(about_short(begin.elapsed()), "{:?}", begin.elapsed());
    let mut taken = Vec::new();
    assert!(stream.read_to_end(&mut taken).await.is_err() || taken.len() < 64_000_000);
}

#[tokio::test]
async fn a_client_that_takes_its_response_slowly_is_not_cut() {
    let backend = Backend::start().await;
    let (mut listener, state) = forwarding("http", backend.address);
    listener.limits = Limits { write_timeout: Duration::from_secs(1), keep_alive: Duration::from_secs(1), ..long() }.into();
    let running = start_with(settings(), vec![listener], state);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    exchange(&mut stream, "GET /big/64000000 HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut piece = vec![0; 4_000_000];
    for _ in 0..16 {
        stream.read_exact(&mut piece).await.expect("not cut");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}

#[tokio::test]
async fn an_http2_stream_that_stands_still_is_reset_and_others_go_on() {
    let backend = Backend::start().await;
    let (mut listener, state) = forwarding("http", backend.address);
    listener.limits = Limits { write_timeout: Duration::from_secs(1), ..long() }.into();
    let running = start_with(settings(), vec![listener], state);
    let (mut client, _connection) = http2(TcpStream::connect(address(&running, "http")).await.unwrap()).await;
    let stalled = get_http2_from(&mut client, "/big/8000000").await.unwrap();
    let begin = tokio::time::Instant::now();
    let mut slow = get_http2_from(&mut client, "/big/1000000").await.unwrap().into_body();
    let mut taken = 0;
    while let Some(frame) = slow.frame().await {
        taken += frame.expect("a slow stream goes on").into_data().unwrap().len();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(taken, 1_000_000);
    if let Some(rest) = Duration::from_secs(3).checked_sub(begin.elapsed()) {
        tokio::time::sleep(rest).await;
    }
    let error = stalled.into_body().collect().await.expect_err("the stalled stream was reset");
    assert!(format!("{error:?}").contains("CANCEL"), "{error:?}");
    assert_eq!(get_http2(&mut client).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_silent_websocket_over_http2_keeps_its_connection() {
    let backend = Backend::start().await;
    let (mut listener, state) = forwarding("http", backend.address);
    listener.limits = Limits { h2_idle: SHORT, write_timeout: SHORT, ..long() }.into();
    let running = start_with(settings(), vec![listener], state);
    let (mut client, connection) = http2(TcpStream::connect(address(&running, "http")).await.unwrap()).await;
    // The server's settings have arrived, and with them that it knows WebSocket.
    get_http2(&mut client).await.unwrap();
    let websocket = http::Request::connect("http://test/tunnel")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(http_body_util::Empty::new())
        .unwrap();
    let response = client.send_request(websocket).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut tunnel = hyper_util::rt::TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    assert_eq!(running.draining().tunnels(), 1);
    for _ in 0..2 {
        tokio::time::sleep(SHORT * 3).await;
        tunnel.write_all(b"hello").await.unwrap();
        let mut echoed = [0; 5];
        tunnel.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"hello");
    }
    drop(tunnel);
    tokio::time::timeout(SOON, connection).await.expect("idle again, it goes away").unwrap().unwrap();
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_goes_on_sending() {
    let mut early = listener("http");
    early.fallback = Some(refusing(Reason::NoEndpoints));
    let running = start(settings(), vec![early]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000\r\n\r\n").await.unwrap();
    for _ in 0..4 {
        stream.write_all(&vec![0; 500_000]).await.expect("the server takes what is still sent");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = String::new();
    let begin = tokio::time::Instant::now();
    stream.read_to_string(&mut answer).await.expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(2), "the end is told at once: {:?}", begin.elapsed());
    drop(stream);
    eventually("its place is free", || running.connections() == 0).await;
}

#[tokio::test]
async fn what_is_refused_before_a_request_stands_has_its_line_and_its_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let metrics = Arc::new(Metrics::default());
    let log = Logger::start(&AccessLog::File(path.clone()), LogFormat::default(), Arc::clone(&metrics)).unwrap();
    let state = Arc::new(State::new(Arc::clone(&metrics), log));
    let mut limited = listener("http");
    limited.limits = Limits { header_timeout: SHORT, header_bytes: 64 * 1024, target_bytes: 1024, ..long() }.into();
    let running = start_with(settings(), vec![limited], state);
    let at = address(&running, "http");
    let heads = [
        "GET / HTTP/1.1\r\nHost: ".to_owned(),
        // It could become HTTP/2's preface.
        "P".to_owned(),
        // Frames of HTTP/2 that make no sense.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x01\x04\0\0\0\0\0\0".to_owned(),
        "GET / HTTP/1.1\r\nHost test\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(200 * 1024)),
        format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(70 * 1024)),
    ];
    for head in heads {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        closed(&mut stream).await;
    }
    for (reason, count) in [("header_timeout", 2), ("bad_request", 2), ("headers_too_large", 1), ("target_too_long", 1)] {
        let counted = format!("tidegate_answers_total{{reason=\"{reason}\"}} {count}");
        eventually(&counted, || metrics.to_text().contains(&counted)).await;
    }
    for status in [408, 400, 431, 414] {
        let part = format!(" {status} ");
        eventually(&part, || std::fs::read_to_string(&path).unwrap_or_default().lines().any(|line| line.contains(&part))).await;
    }
}

#[tokio::test]
async fn a_head_larger_than_hyper_takes_is_431_and_a_target_414() {
    let running = limited(Limits { header_bytes: 8 * 1024, target_bytes: 4 * 1024, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(exchange(&mut stream, &head).await.starts_with("HTTP/1.1 431 "));
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert!(exchange(&mut stream, &head).await.starts_with("HTTP/1.1 431 "));
}
