//! The PROXY protocol on sockets. What a header may be is tested beside its parser.

use std::net::Ipv4Addr;
use std::time::Duration;

use tidegate_proxy::model::{CidrSet, Limits};
use tidegate_proxy::table::{Listener, SessionTickets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::*;

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\r\n";

fn trusting(networks: &[&str]) -> Listener {
    let mut believed = CidrSet::default();
    for network in networks {
        believed.add(network).unwrap();
    }
    Listener { proxy_protocol: believed, ..listener("http") }
}

fn binary() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    // Addresses, and an extension to skip.
    header.extend([0, 17]);
    header.extend(Ipv4Addr::new(192, 0, 2, 7).octets());
    header.extend([10, 0, 0, 1, 0x1f, 0x90, 0, 80]);
    header.extend([4, 0, 2, 1, 2]);
    header
}

#[tokio::test]
async fn a_believed_peer_is_served_after_its_header_in_either_version() {
    let running = start(settings(), vec![trusting(&["127.0.0.0/8"])]);
    for header in [LINE.to_vec(), binary(), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
        stream.write_all(&[&header, HEAD.as_bytes()].concat()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 404 "), "{}", header.escape_ascii());
    }
}

#[tokio::test]
async fn a_header_may_come_in_pieces() {
    let running = start(settings(), vec![trusting(&["127.0.0.1"])]);
    for header in [LINE.to_vec(), binary()] {
        let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in [&header, HEAD.as_bytes()].concat() {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 404 "));
    }
}

#[tokio::test]
async fn a_believed_peer_without_a_header_is_closed_unanswered() {
    let running = start(settings(), vec![trusting(&["127.0.0.1"])]);
    for bytes in [HEAD.as_bytes(), b"PROXY TCP9 nonsense\r\n", b"\r\n\r\n\0\r\nQUIT\n\x99"] {
        let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_peer_that_is_not_believed_cannot_send_a_header() {
    let running = start(settings(), vec![trusting(&["192.0.2.0/24"])]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.write_all(&[LINE, HEAD.as_bytes()].concat()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn a_header_that_does_not_come_is_not_waited_for_long() {
    let mut slow = trusting(&["127.0.0.1"]);
    slow.limits = Limits { header_timeout: Duration::from_millis(300), ..limits() }.into();
    let running = start(settings(), vec![slow]);
    let mut silent = TcpStream::connect(address(&running, "http")).await.unwrap();
    let mut partial = TcpStream::connect(address(&running, "http")).await.unwrap();
    partial.write_all(b"PROXY TCP4 ").await.unwrap();
    for stream in [&mut silent, &mut partial] {
        assert!(closed(stream).await < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn the_header_comes_before_tls_and_before_http2() {
    let authority = Authority::new();
    let mut secure = trusting(&["127.0.0.1"]);
    secure.tls = Some(Authority::serve(&authority.issue(&["test"]), &SessionTickets::new().unwrap()));
    secure.name = "https".into();
    let running = start(settings(), vec![trusting(&["127.0.0.1"]), secure]);

    let mut stream = TcpStream::connect(address(&running, "https")).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    let connector = authority.client(rustls::ALL_VERSIONS, &["http/1.1"]);
    let mut stream = connector.connect("test".try_into().unwrap(), stream).await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));

    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    stream.write_all(&binary()).await.unwrap();
    let (mut client, _connection) = http2(stream).await;
    assert_eq!(get_http2(&mut client).await.unwrap().status(), 404);
}
