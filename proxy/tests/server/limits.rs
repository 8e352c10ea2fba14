//! Limits of time on clients that are slow, silent or gone.

use std::time::Duration;

use tidegate_proxy::model::Limits;
use tidegate_proxy::server::Running;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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
    exchange(&mut stream, GET).await;
    // Idle for longer than a head may take: that is another limit's matter.
    tokio::time::sleep(SHORT * 2).await;
    exchange(&mut stream, GET).await;
    stream.write_all(b"GET / HT").await.unwrap();
    let waited = closed(&mut stream).await;
    assert!(about_short(waited), "{waited:?}");
}

#[tokio::test]
async fn an_idle_http1_connection_is_closed() {
    let running = limited(Limits { keep_alive: SHORT, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    exchange(&mut stream, GET).await;
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
async fn a_head_larger_than_hyper_takes_is_431_and_a_target_414() {
    let running = limited(Limits { header_bytes: 8 * 1024, target_bytes: 4 * 1024, ..long() });
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(exchange(&mut stream, &head).await.starts_with("HTTP/1.1 431 "));
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert!(exchange(&mut stream, &head).await.starts_with("HTTP/1.1 431 "));
}
