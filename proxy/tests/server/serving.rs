//! Every way to speak HTTP to a listener.

use http::StatusCode;
use tidegate_proxy::error::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::*;

#[tokio::test]
async fn http1_keeps_its_connection_for_the_next_request() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    for _ in 0..3 {
        assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
    }
    assert_eq!(running.connections(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let last = "HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    stream.write_all([HEAD, HEAD, HEAD, last].concat().as_bytes()).await.unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).await.unwrap();
    assert_eq!(all.matches("HTTP/1.1 404 ").count(), 4, "{all}");
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_served() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // It begins like the preface of HTTP/2.
    for byte in b"PRI / HTTP/1.1\r\nHost: test\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn http2_is_spoken_in_clear_text_by_prior_knowledge() {
    let running = start(settings(), vec![listener("http")]);
    let (mut client, _connection) = http2(TcpStream::connect(address(&running, "http")).await.unwrap()).await;
    let answers = futures_util::future::join_all((0..20).map(|_| {
        let mut client = client.clone();
        async move { get_http2(&mut client).await.unwrap().status() }
    }));
    assert!(answers.await.iter().all(|status| *status == StatusCode::NOT_FOUND));
    assert_eq!(get_http2(&mut client).await.unwrap().version(), http::Version::HTTP_2);
    assert_eq!(running.connections(), 1);
}

#[tokio::test]
async fn a_preface_in_pieces_is_still_http2() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in [&b"PRI * HTTP"[..], b"/2.0\r\n\r\nSM\r\n", b"\r\n\0\0\0\x04\0\0\0\0\0"] {
        stream.write_all(piece).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "a SETTINGS frame: {frame:?}");
}

#[tokio::test]
async fn ipv4_clients_reach_a_listener_on_all_of_ipv6() {
    let mut both = listener("http");
    both.address = "[::]:0".parse().unwrap();
    let running = start(settings(), vec![both]);
    let port = address(&running, "http").port();
    for host in ["127.0.0.1", "::1"] {
        let mut stream = TcpStream::connect((host, port)).await.unwrap();
        assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "), "{host}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_closed() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    assert!(exchange(&mut stream, "\x16\x03\x01 hello\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    closed(&mut stream).await;
    eventually("its place is free", || running.connections() == 0).await;
}

#[tokio::test]
async fn the_tables_route_answers() {
    let mut unavailable = listener("http");
    unavailable.fallback = Some(refusing(Reason::NoEndpoints));
    let running = start(settings(), vec![unavailable]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 503 "));
}
