//! The end of serving.

use std::time::Duration;

use http_body_util::BodyExt;
use tidegate_proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::Backend;
use crate::world::*;

const MIN: Duration = Duration::from_millis(1500);
const MAX: Duration = Duration::from_secs(15);

#[tokio::test]
async fn new_connections_are_served_until_the_minimum_and_refused_after() {
    let running = start(settings(), vec![listener("http")]);
    let at = address(&running, "http");
    let begin = Instant::now();
    let draining = running.draining();
    let drained = tokio::spawn(running.drain(MIN, MAX));
    eventually("the drain has begun", || draining.has_begun()).await;
    let mut served = 0;
    while begin.elapsed() < MIN / 2 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let head = exchange(&mut stream, HEAD).await;
        assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("connection: close\r\n"), "{head}");
        closed(&mut stream).await;
        served += 1;
    }
    assert!(served > 0);
    timeout(SOON, drained).await.unwrap().unwrap();
    assert!((MIN..MIN + Duration::from_secs(5)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    TcpStream::connect(at).await.expect_err("nobody listens");
}

#[tokio::test]
async fn idle_connections_are_served_until_the_minimum_and_then_closed() {
    let running = start(settings(), vec![listener("http")]);
    let at = address(&running, "http");
    let (mut idle, mut asking) = (TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap());
    for stream in [&mut idle, &mut asking] {
        assert!(!exchange(stream, HEAD).await.contains("connection: close"));
    }
    let _silent = TcpStream::connect(at).await.unwrap();
    let begin = Instant::now();
    let drained = tokio::spawn(running.drain(MIN, MAX));
    sleep(MIN / 3).await;
    assert!(exchange(&mut asking, HEAD).await.contains("connection: close\r\n"));
    closed(&mut asking).await;
    assert!(begin.elapsed() < MIN);
    closed(&mut idle).await;
    assert!(begin.elapsed() >= MIN);
    timeout(SOON, drained).await.unwrap().unwrap();
    assert!(begin.elapsed() < MAX / 2, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn http2_clients_are_told_to_go_away_at_once_and_late_ones_at_the_minimum() {
    let running = start(settings(), vec![listener("http")]);
    let at = address(&running, "http");
    let (mut early, early_end) = http2(TcpStream::connect(at).await.unwrap()).await;
    get_http2(&mut early).await.unwrap();
    let begin = Instant::now();
    let drained = tokio::spawn(running.drain(MIN, MAX));
    timeout(SOON, early_end).await.unwrap().unwrap().unwrap();
    assert!(begin.elapsed() < MIN, "{:?}", begin.elapsed());

    let (mut late, late_end) = http2(TcpStream::connect(at).await.unwrap()).await;
    get_http2(&mut late).await.unwrap();
    timeout(SOON, late_end).await.unwrap().unwrap().unwrap();
    assert!(begin.elapsed() >= MIN);
    timeout(SOON, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn requests_in_flight_finish_however_long_after_the_minimum() {
    let backend = Backend::start().await;
    let (listener, state) = forwarding("http", backend.address);
    let running = start_with(settings(), vec![listener], state);
    let at = address(&running, "http");
    let mut http1 = TcpStream::connect(at).await.unwrap();
    http1.write_all(b"GET /wait HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    backend.arrival().await;
    let (mut client, _connection) = http2(TcpStream::connect(at).await.unwrap()).await;
    let http2 = tokio::spawn(async move { get_http2_from(&mut client, "/wait").await });
    backend.arrival().await;

    let drained = tokio::spawn(running.drain(Duration::from_millis(100), MAX));
    eventually("nobody listens", || std::net::TcpStream::connect(at).is_err()).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!drained.is_finished());
    backend.release();
    backend.release();
    let head = read_head(&mut http1).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("connection: close\r\n"), "{head}");
    let response = timeout(SOON, http2).await.unwrap().unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "waited");
    timeout(SOON, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_response_on_its_way_to_a_slow_client_is_finished() {
    let backend = Backend::start().await;
    let (listener, state) = forwarding("http", backend.address);
    let running = start_with(settings(), vec![listener], state);
    let at = address(&running, "http");
    let mut http1 = TcpStream::connect(at).await.unwrap();
    assert!(exchange(&mut http1, "GET /big/8000000 HTTP/1.1\r\nHost: test\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    let (mut client, _connection) = http2(TcpStream::connect(at).await.unwrap()).await;
    let http2 = get_http2_from(&mut client, "/big/8000000").await.unwrap();
    let drained = tokio::spawn(running.drain(Duration::ZERO, MAX));
    sleep(Duration::from_secs(1)).await;
    let mut body = Vec::new();
    timeout(SOON, http1.read_to_end(&mut body)).await.unwrap().unwrap();
    assert_eq!(body.len(), 8_000_000);
    assert_eq!(http2.into_body().collect().await.unwrap().to_bytes().len(), 8_000_000);
    timeout(SOON, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn tunnels_are_closed_one_after_another_before_the_maximum() {
    let backend = Backend::start().await;
    let (listener, state) = forwarding("http", backend.address);
    let running = start_with(settings(), vec![listener], state);
    let at = address(&running, "http");
    let mut tunnels = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let ask = "GET /tunnel HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        assert!(exchange(&mut stream, ask).await.starts_with("HTTP/1.1 101 "));
        stream.write_all(b"hello").await.unwrap();
        let mut echoed = [0; 5];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"hello");
        tunnels.push(stream);
    }
    let draining = running.draining();
    assert_eq!((draining.tunnels(), running.connections()), (8, 8));
    let begin = Instant::now();
    let max = Duration::from_secs(4);
    let drained = tokio::spawn(running.drain(Duration::ZERO, max));
    let ends = tunnels.iter_mut().map(|stream| async move {
        closed(stream).await;
        begin.elapsed()
    });
    let mut ends: Vec<Duration> = futures_util::future::join_all(ends).await;
    ends.sort();
    timeout(SOON, drained).await.unwrap().unwrap();
    assert!(begin.elapsed() < max, "{:?}", begin.elapsed());
    assert!(ends[0] < max / 2 && ends[7] > max / 2, "{ends:?}");
    assert!(ends.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_millis(100)).count() >= 5, "{ends:?}");
}

#[tokio::test]
async fn a_head_under_way_is_waited_for_and_answered() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let drained = tokio::spawn(running.drain(Duration::from_millis(100), MAX));
    sleep(Duration::from_millis(500)).await;
    let head = exchange(&mut stream, "Host: test\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("connection: close\r\n"), "{head}");
    timeout(SOON, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_left_at_the_maximum_is_cut() {
    let running = start(settings(), vec![listener("http")]);
    let mut stuck = TcpStream::connect(address(&running, "http")).await.unwrap();
    stuck.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    timeout(SOON, running.drain(Duration::ZERO, Duration::from_millis(500))).await.unwrap();
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    closed(&mut stuck).await;
}

#[tokio::test]
async fn a_dropped_drain_ends_at_once() {
    let running = start(settings(), vec![listener("http")]);
    let at = address(&running, "http");
    let mut open = TcpStream::connect(at).await.unwrap();
    exchange(&mut open, HEAD).await;
    let drain = tokio::spawn(running.drain(Duration::from_secs(60), Duration::from_secs(60)));
    sleep(Duration::from_millis(50)).await;
    drain.abort();
    closed(&mut open).await;
    eventually("nobody listens", || std::net::TcpStream::connect(at).is_err()).await;
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_served_before_sockets_close() {
    // With one place, all others wait in the queue.
    let running = start(Settings { max_connections: 1, workers: 1, ..settings() }, vec![listener("http")]);
    let at = address(&running, "http");
    let mut first = TcpStream::connect(at).await.unwrap();
    exchange(&mut first, HEAD).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(HEAD.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let drained = tokio::spawn(running.drain(Duration::from_millis(200), MAX));
    sleep(Duration::from_millis(400)).await;
    drop(first);
    for stream in &mut waiting {
        let head = read_head(stream).await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
    timeout(SOON, drained).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_may_be_awaited_on_another_runtime_of_many_threads() {
    let running = start(settings(), vec![listener("http")]);
    let drained = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(running.drain(Duration::ZERO, MAX));
    });
    let begin = Instant::now();
    while !drained.is_finished() && begin.elapsed() < SOON {
        sleep(Duration::from_millis(5)).await;
    }
    drained.join().unwrap();
}
