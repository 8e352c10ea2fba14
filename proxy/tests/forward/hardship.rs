//! Peers that stand still, go silent or contradict themselves: what they cost others, which is nothing.

use std::time::Duration;

use tidegate_proxy::model::{Timeouts, UpstreamProtocol};
use tidegate_proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::*;

#[tokio::test]
async fn clients_that_read_nothing_do_not_stop_others_on_a_connection_to_the_endpoint() {
    let (backend, seen) = http2_backend(200, |request| async move {
        http::Response::new(if request.uri().path() == "/large" { large(512) } else { full("small") })
    })
    .await;
    let settings = Settings { workers: 1, ..Settings::default() };
    let proxy = Setup { settings, ..Setup::over(&[backend], UpstreamProtocol::H2c) }.start();
    let mut stalled = Vec::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        let mut begin = [0; 12];
        in_time(stream.read_exact(&mut begin)).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        stalled.push(stream);
    }
    // Until nothing moves any more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut client = Http1::connect(&proxy).await;
    assert_eq!(client.get("/").await, (200, "small".to_owned()));
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn a_length_beside_chunks_of_a_response_does_not_reach_the_client() {
    for head in ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 3"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let (backend, _) = canned(answer.leak()).await;
        let proxy = Setup::to(&[backend]).start();
        let response = Http1::connect(&proxy).await.send(request("GET", "/").body(full("")).unwrap()).await;
        assert!(!response.headers().contains_key("content-length"), "{:?}", response.headers());
        assert_eq!(read(response).await, (200, "hello".to_owned()), "{head}");
        let response = Http2::connect(&proxy).await.send(request2("GET", "/").body(full("")).unwrap()).await;
        assert_eq!(read(response).await, (200, "hello".to_owned()), "{head}, HTTP/2");
    }
}

#[tokio::test]
async fn a_dead_endpoint_does_not_eat_the_read_timeout_of_the_next() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let dead = socket.listen(1).unwrap();
    let address = dead.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let (backend, seen) = canned(OK).await;
    let timeouts = Timeouts { connect: Duration::from_secs(2), read: Duration::from_secs(1), ..Timeouts::default() };
    let settings = Settings { workers: 1, ..Settings::default() };
    let proxy = Setup { timeouts, settings, ..Setup::to(&[backend]) }.start();
    let mut client = Http1::connect(&proxy).await;
    assert_eq!(client.get("/").await.0, 200, "a connection that stands");
    set_endpoints(&proxy.state, &[address, backend]);
    for _ in 0..2 {
        assert_eq!(client.get("/").await, (200, "ok".to_owned()));
    }
    assert_eq!(seen.connections(), 1);
}

/// Whether a process holds the socket on this local port that leads elsewhere than to itself.
fn is_held(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&format!(":{port:04X}")) && fields[9] != "0"
    })
}

#[tokio::test]
async fn an_endpoint_that_answers_early_and_never_reads_does_not_keep_its_connection() {
    let (told, mut ports) = tokio::sync::mpsc::unbounded_channel();
    let backend = scripted(move |mut stream, _| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
            told.send(stream.peer_addr().unwrap().port()).unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let settings = Settings { workers: 1, upstream_idle: Duration::from_millis(200), ..Settings::default() };
    let proxy = Setup { settings, ..Setup::to(&[backend]) }.start();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n").await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    tokio::spawn(async move { while writing.write_all(&[b'x'; 65_536]).await.is_ok() {} });
    let mut answer = [0; 12];
    in_time(reading.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
    let port = ports.recv().await.unwrap();
    eventually(|| !is_held(port)).await;
}

#[tokio::test]
async fn no_more_idle_connections_are_kept_than_the_worker_may_have() {
    let (told, mut ports) = tokio::sync::mpsc::unbounded_channel();
    let backend = scripted(move |mut stream, _| {
        told.send(stream.peer_addr().unwrap().port()).unwrap();
        async move {
            while read_head(&mut stream).await.is_some() {
                // All eight are under way together.
                tokio::time::sleep(Duration::from_millis(500)).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let settings = Settings { workers: 1, idle_connections: 4, ..Settings::default() };
    let proxy = Setup { settings, ..Setup::to(&[backend]) }.start();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Http1::connect(&proxy).await);
    }
    let answers = futures_util::future::join_all(clients.iter_mut().map(|client| client.get("/"))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    let ports: Vec<_> = std::iter::from_fn(|| ports.try_recv().ok()).collect();
    assert_eq!(ports.len(), 8);
    eventually(|| (1..=4).contains(&ports.iter().filter(|port| is_held(**port)).count())).await;
}
