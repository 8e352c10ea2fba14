//! Idle connections of HTTP/1.1 hold next to nothing, and nobody notices.

use std::time::Duration;

use rustls::version::TLS13;
use tidegate_proxy::model::Limits;
use tidegate_proxy::settings::Settings;
use tidegate_proxy::table::{Listener, SessionTickets};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::world::*;

/// Waits until so many connections sleep.
async fn asleep(show: &impl Fn() -> String, connections: usize) {
    let line = format!(r#"tidegate_connections{{protocol="http1",state="asleep"}} {connections}"#);
    eventually(&line, || show().contains(&line)).await;
}

/// What a connection does after it slept: a head in one piece, one in two with sleep between them, and a body.
async fn goes_on<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, show: &impl Fn() -> String) {
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 200 "));
    asleep(show, 1).await;
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 200 "));
    asleep(show, 1).await;
    // Two requests at once, and half of a third.
    let (half, other_half) = HEAD.split_at(10);
    stream.write_all(format!("{HEAD}{HEAD}{half}").as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    for _ in 0..2 {
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(exchange(&mut stream, other_half).await.starts_with("HTTP/1.1 200 "), "the other half");
    asleep(show, 1).await;
    let body = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    assert!(exchange(&mut stream, body).await.starts_with("HTTP/1.1 200 "));
    drop(stream);
}

#[tokio::test]
async fn a_client_that_was_idle_for_long_goes_on_as_if_nothing_had_been() {
    let backend = Backend::start().await;
    let (state, show) = counting();
    let (listener, state) = forwarding_with("http", backend.address, std::sync::Arc::into_inner(state).unwrap());
    let running = start_with(Settings { workers: 1, ..settings() }, vec![listener], state);
    goes_on(TcpStream::connect(address(&running, "http")).await.unwrap(), &show).await;
    eventually("its place is free", || running.connections() == 0).await;
}

#[tokio::test]
async fn so_does_one_over_tls() {
    let backend = Backend::start().await;
    let (state, show) = counting();
    let (listener, state) = forwarding_with("https", backend.address, std::sync::Arc::into_inner(state).unwrap());
    let authority = Authority::new();
    let tls = Some(Authority::serve(&authority.issue(&["shop.test"]), &SessionTickets::new().unwrap()));
    let running = start_with(Settings { workers: 1, ..settings() }, vec![Listener { tls, ..listener }], state);
    let connector = authority.client(&[&TLS13], &["http/1.1"]);
    goes_on(connect_tls(&connector, address(&running, "https"), "shop.test").await.unwrap(), &show).await;
    eventually("its place is free", || running.connections() == 0).await;
}

#[tokio::test]
async fn who_sleeps_is_closed_when_its_time_is_up_when_serving_ends_and_when_the_client_goes() {
    let (state, show) = counting();
    let mut limited = listener("http");
    limited.limits = Limits { keep_alive: Duration::from_secs(4), ..limits() }.into();
    let running = start_with(Settings { workers: 1, ..settings() }, vec![limited, listener("patient")], state);
    let connect = async |name| {
        let mut stream = TcpStream::connect(address(&running, name)).await.unwrap();
        exchange(&mut stream, HEAD).await;
        stream
    };
    let mut limited = connect("http").await;
    asleep(&show, 1).await;
    closed(&mut limited).await;
    asleep(&show, 0).await;

    let (mut drained, gone) = (connect("patient").await, connect("patient").await);
    asleep(&show, 2).await;
    drop(gone);
    eventually("its place is free", || running.connections() == 1).await;
    let begin = tokio::time::Instant::now();
    let ended = tokio::spawn(running.drain(Duration::from_millis(100), Duration::from_secs(60)));
    closed(&mut drained).await;
    tokio::time::timeout(SOON, ended).await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
