//! TLS as clients meet it.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tidegate_proxy::model::Certificate;
use tidegate_proxy::table::{Listener, SessionTickets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::*;

struct Https {
    authority: Authority,
    tickets: SessionTickets,
}

impl Https {
    fn new() -> Self {
        Self { authority: Authority::new(), tickets: SessionTickets::new().unwrap() }
    }

    fn listener(&self, certificate: &Arc<Certificate>) -> Listener {
        Listener { tls: Some(Authority::serve(certificate, &self.tickets)), ..listener("https") }
    }
}

fn served(stream: &TlsClient) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn http1_and_http2_are_spoken_over_tls12_and_tls13_as_alpn_says() {
    let https = Https::new();
    let running = start(settings(), vec![https.listener(&https.authority.issue(&["shop.test"]))]);
    for (version, named) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (alpn, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
            let connector = https.authority.client(&[version], alpn);
            let mut stream = connect_tls(&connector, address(&running, "https"), "shop.test").await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(named));
            assert_eq!(session.alpn_protocol(), agreed.map(str::as_bytes));
            if agreed == Some("h2") {
                let (mut client, _connection) = http2(stream).await;
                assert_eq!(get_http2(&mut client).await.unwrap().status(), 404);
            } else {
                assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
            }
        }
    }
}

#[tokio::test]
async fn a_post_quantum_key_exchange_is_agreed_with_clients_that_offer_it() {
    let https = Https::new();
    let running = start(settings(), vec![https.listener(&https.authority.issue(&["shop.test"]))]);
    let connector = https.authority.client(&[&TLS13], &["http/1.1"]);
    let stream = connect_tls(&connector, address(&running, "https"), "shop.test").await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn sessions_are_resumed_in_both_versions_also_after_another_table() {
    for version in [&TLS12, &TLS13] {
        let https = Https::new();
        let first = https.authority.issue(&["shop.test"]);
        // Tickets must be good at any worker.
        let running = start(tidegate_proxy::settings::Settings { workers: 4, ..settings() }, vec![https.listener(&first)]);
        let connector = https.authority.client(&[version], &["http/1.1"]);
        let at = address(&running, "https");
        let mut stream = connect_tls(&connector, at, "shop.test").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        exchange(&mut stream, HEAD).await;

        let rotated = https.listener(&https.authority.issue(&["shop.test"]));
        running.publisher().publish(table(vec![rotated]));
        let mut kinds = Vec::new();
        for _ in 0..4 {
            let mut stream = connect_tls(&connector, at, "shop.test").await.unwrap();
            exchange(&mut stream, HEAD).await;
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        assert!(kinds.iter().all(|kind| *kind == Some(HandshakeKind::Resumed)), "{version:?}: {kinds:?}");
    }
}

#[tokio::test]
async fn a_rotated_certificate_serves_new_handshakes_and_leaves_open_connections_alone() {
    let https = Https::new();
    let (old, new) = (https.authority.issue(&["shop.test"]), https.authority.issue(&["shop.test"]));
    let running = start(settings(), vec![https.listener(&old)]);
    let at = address(&running, "https");
    let fresh = || https.authority.client(&[&TLS13], &["http/1.1"]);
    let mut before = connect_tls(&fresh(), at, "shop.test").await.unwrap();
    exchange(&mut before, HEAD).await;

    running.publisher().publish(table(vec![https.listener(&new)]));
    let mut after = connect_tls(&fresh(), at, "shop.test").await.unwrap();
    assert_eq!(served(&before), old.key.cert[0].to_vec());
    assert_eq!(served(&after), new.key.cert[0].to_vec());
    for stream in [&mut before, &mut after] {
        assert!(exchange(stream, HEAD).await.starts_with("HTTP/1.1 404 "));
    }
}

#[tokio::test]
async fn no_handshake_fails_while_certificates_rotate() {
    let https = Https::new();
    let certificates: Vec<_> = (0..2).map(|_| https.authority.issue(&["shop.test"])).collect();
    let running = start(settings(), vec![https.listener(&certificates[0])]);
    let at = address(&running, "https");
    let publisher = Arc::clone(running.publisher());
    let tables: Vec<_> = certificates.iter().map(|certificate| https.listener(certificate)).collect();
    let rotating = tokio::spawn(async move {
        for turn in 0..200 {
            publisher.publish(table(vec![tables[turn % 2].clone()]));
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let mut handshakes = 0;
    while !rotating.is_finished() {
        let connector = https.authority.client(&[&TLS13], &["http/1.1"]);
        let mut stream = connect_tls(&connector, at, "shop.test").await.unwrap();
        assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
        handshakes += 1;
    }
    rotating.await.unwrap();
    assert!(handshakes > 5, "{handshakes}");
}

#[tokio::test]
async fn handshakes_and_connections_are_counted() {
    let https = Https::new();
    let (state, show) = counting();
    let mut listener = https.listener(&https.authority.issue(&["shop.test"]));
    // Sweeps, by which connections are counted, come often then.
    listener.limits = Arc::new(tidegate_proxy::model::Limits { h2_idle: std::time::Duration::from_millis(500), ..limits() });
    let running = start_with(settings(), vec![listener], state);
    let at = address(&running, "https");
    let connector = https.authority.client(&[&TLS13], &["http/1.1"]);
    let mut first = connect_tls(&connector, at, "shop.test").await.unwrap();
    exchange(&mut first, HEAD).await;
    let mut second = connect_tls(&connector, at, "shop.test").await.unwrap();
    exchange(&mut second, HEAD).await;
    assert!(connect_tls(&Authority::new().client(&[&TLS13], &[]), at, "shop.test").await.is_err());
    let expected = [
        r#"tidegate_tls_handshakes_total{result="ok"} 1"#,
        r#"tidegate_tls_handshakes_total{result="resumed"} 1"#,
        r#"tidegate_tls_handshakes_total{result="failed"} 1"#,
        r#"tidegate_connections_accepted_total{scheme="https"} 3"#,
        r#"tidegate_connections{protocol="http1",state="idle"} 2"#,
    ];
    for line in expected {
        eventually(line, || show().contains(line)).await;
    }
    drop((first, second));
    eventually("none is open", || show().contains(r#"tidegate_connections{protocol="http1",state="idle"} 0"#)).await;
}

#[tokio::test]
async fn http_on_an_https_port_is_told_so() {
    let https = Https::new();
    let (state, show) = counting();
    let running = start_with(settings(), vec![https.listener(&https.authority.issue(&["shop.test"]))], state);
    let mut stream = TcpStream::connect(address(&running, "https")).await.unwrap();
    stream.write_all(HEAD.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains(&format!("content-length: {}", body.len())), "{answer}");
    let counted = r#"tidegate_answers_total{reason="http_on_https"} 1"#;
    eventually(counted, || show().contains(counted)).await;
}

#[tokio::test]
async fn a_broken_handshake_costs_its_own_connection_only() {
    let https = Https::new();
    let running = start(settings(), vec![https.listener(&https.authority.issue(&["shop.test"]))]);
    let at = address(&running, "https");
    for nonsense in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x80\x2e\x01\x03\x01", b"\0\0\0\0"] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        closed(&mut stream).await;
    }
    // A client that does not trust the certificate breaks off.
    let stranger = Authority::new().client(&[&TLS13], &[]);
    assert!(connect_tls(&stranger, at, "shop.test").await.is_err());
    let connector = https.authority.client(&[&TLS13], &[]);
    let mut stream = connect_tls(&connector, at, "shop.test").await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
}
