//! The end of serving.

use std::time::Duration;

use tidegate_proxy::settings::Settings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::world::*;

const MIN: Duration = Duration::from_millis(600);
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
        let head = exchange(&mut stream, GET).await;
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
        assert!(!exchange(stream, GET).await.contains("connection: close"));
    }
    let _silent = TcpStream::connect(at).await.unwrap();
    let begin = Instant::now();
    let drained = tokio::spawn(running.drain(MIN, MAX));
    sleep(MIN / 3).await;
    assert!(exchange(&mut asking, GET).await.contains("connection: close\r\n"));
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
    exchange(&mut open, GET).await;
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
    exchange(&mut first, GET).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
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
