//! How many connections there may be, and where they go.

use std::time::Duration;

use tidegate_proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::*;

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let running = start(Settings { max_connections: 2, ..settings() }, vec![listener("http")]);
    let at = address(&running, "http");
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        exchange(&mut stream, GET).await;
        served.push(stream);
    }
    let mut waiting = TcpStream::connect(at).await.unwrap();
    waiting.write_all(GET.as_bytes()).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), waiting.read_u8()).await;
    assert!(nothing.is_err(), "it must wait: {nothing:?}");
    assert_eq!(running.connections(), 2);
    served.pop();
    assert!(read_head(&mut waiting).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn long_lived_connections_are_spread_evenly_over_the_workers() {
    let running = start(Settings { workers: 8, ..settings() }, vec![listener("http")]);
    let at = address(&running, "http");
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        exchange(&mut stream, GET).await;
        open.push(stream);
    }
    let of_worker = running.connections_of_workers();
    assert_eq!(of_worker.iter().sum::<usize>(), 200);
    assert!(of_worker.iter().all(|&count| count * 4 <= 25 * 5), "at most 1.25 of the mean: {of_worker:?}");
    for stream in &mut open {
        assert!(exchange(stream, GET).await.starts_with("HTTP/1.1 404 "), "served after a hand-over");
    }
    drop(open);
    eventually("all places are free", || running.connections() == 0).await;
}
