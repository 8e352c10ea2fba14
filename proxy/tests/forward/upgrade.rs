//! Upgrades: WebSocket over HTTP/1.1 and HTTP/2, other protocols, and what must not be upgraded.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tidegate_proxy::model::Timeouts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::*;

/// Echoes WebSocket messages.
async fn websocket_backend() -> std::net::SocketAddr {
    scripted(|stream, _| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await
}

async fn open(proxy: &Proxy) -> tokio_tungstenite::WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let request = "ws://a.test/chat?room=1".into_client_request().unwrap();
    let (socket, response) = in_time(tokio_tungstenite::client_async(request, stream)).await.unwrap();
    assert_eq!(response.status(), 101);
    socket
}

#[tokio::test]
async fn a_websocket_passes_messages_both_ways() {
    let proxy = Setup::to(&[websocket_backend().await]).start();
    let mut socket = open(&proxy).await;
    let large = Message::binary(vec![7; 300_000]);
    for message in [Message::text("hello"), large, Message::text("again")] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(in_time(socket.next()).await.unwrap().unwrap(), message);
    }
    assert_eq!(proxy.running.draining().tunnels(), 1);
    socket.close(None).await.unwrap();
    while in_time(socket.next()).await.is_some() {}
    eventually(|| proxy.running.draining().tunnels() == 0).await;
}

#[tokio::test]
async fn a_websocket_without_traffic_closes_after_the_read_timeout() {
    let timeouts = Timeouts { read: Duration::from_millis(300), ..Timeouts::default() };
    let proxy = Setup { timeouts, ..Setup::to(&[websocket_backend().await]) }.start();
    let mut socket = open(&proxy).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        socket.send(Message::text("still here")).await.unwrap();
        in_time(socket.next()).await.unwrap().unwrap();
    }
    let began = Instant::now();
    assert!(!matches!(in_time(socket.next()).await, Some(Ok(_))));
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_drain_closes_websockets() {
    let proxy = Setup::to(&[websocket_backend().await]).start();
    let mut socket = open(&proxy).await;
    let drained = tokio::spawn(proxy.running.drain(Duration::ZERO, Duration::from_secs(2)));
    assert!(!matches!(in_time(socket.next()).await, Some(Ok(_))));
    in_time(drained).await.unwrap();
}

/// Switches to a protocol that doubles each byte.
async fn doubling_backend() -> std::net::SocketAddr {
    scripted(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("upgrade: doubled/1\r\n") || head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: doubled/1\r\nX-Mine: 1\r\n\r\nhi";
        stream.write_all(answer.as_bytes()).await.unwrap();
        while let Ok(byte) = stream.read_u8().await {
            stream.write_all(&[byte, byte]).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn any_other_protocol_may_be_upgraded_to() {
    let proxy = Setup::to(&[doubling_backend().await]).start();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: doubled/1\r\n\r\n").await.unwrap();
    let mut answer = in_time(read_head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    for field in ["connection: upgrade\r\n", "upgrade: doubled/1\r\n", "x-mine: 1\r\n"] {
        assert!(answer.contains(field), "{answer}");
    }
    stream.write_all(b"ab").await.unwrap();
    while !answer.ends_with("\r\n\r\nhiaabb") {
        let mut piece = [0; 16];
        let length = in_time(stream.read(&mut piece)).await.unwrap();
        assert_ne!(length, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
}

#[tokio::test]
async fn a_backend_may_decline() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup::to(&[backend]).start();
    let sent = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n";
    let answer = raw(&proxy, sent).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(seen.heads()[0].contains("upgrade: websocket\r\n"));
}

#[tokio::test]
async fn what_may_not_be_upgraded_is_served_as_it_is() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup::to(&[backend]).start();
    for fields in [
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: Upgrade, close\r\nUpgrade: websocket, H2C\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
    ] {
        let answer = raw(&proxy, &format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let head = seen.heads().pop().unwrap();
        assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_502() {
    let (backend, _) = canned("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n").await;
    let proxy = Setup::to(&[backend]).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await.0, 502);
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_a_backend_of_http1() {
    let proxy = Setup::to(&[doubling_backend().await]).start();
    let client = Http2::connect(&proxy).await;
    // The server's SETTINGS say that it takes extended CONNECT; a first exchange makes sure that they are here.
    let ask = |protocol| {
        let mut request = request2("CONNECT", "/chat").body(full("")).unwrap();
        request.extensions_mut().insert(Protocol::from_static(protocol));
        request
    };
    let response = client.send(ask("websocket")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-mine"], "1");
    assert!(response.headers().contains_key("date"));
    assert!(!response.headers().contains_key("upgrade") && !response.headers().contains_key("connection"));
    let mut tunnel = TokioIo::new(in_time(hyper::upgrade::on(response)).await.unwrap());
    tunnel.write_all(b"ab").await.unwrap();
    let mut echoed = [0; 6];
    in_time(tunnel.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"hiaabb");
    let refused = client.send(ask("other")).await;
    assert_eq!(refused.status(), 400);
}
