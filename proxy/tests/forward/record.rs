//! Every request is recorded once, with what became of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_proxy::model::Timeouts;
use tidegate_proxy::observe::{Logger, Metrics};
use tidegate_proxy::settings::{AccessLog, LogFormat};
use tidegate_proxy::state::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// A proxy whose log goes to a file.
struct Logged {
    proxy: Proxy,
    directory: tempfile::TempDir,
}

impl Logged {
    fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::default());
        let to = AccessLog::File(directory.path().join("log"));
        let log = Logger::start(&to, LogFormat::json(), Arc::clone(&metrics)).unwrap();
        Self { proxy: Setup { state: State::new(metrics, log), ..setup }.start(), directory }
    }

    /// Ends the proxy and returns of each line the fields of interest.
    async fn lines(self) -> Vec<Value> {
        let of_interest = |line: Value| {
            let attempts = line["attempts"].as_array().unwrap().iter().map(|attempt| attempt["status"].clone());
            json!([line["method"], line["status"], line["reason"], line["bytes_in"], line["bytes_out"], attempts.collect::<Value>()])
        };
        self.whole_lines().await.into_iter().map(of_interest).collect()
    }

    /// Ends the proxy and returns its lines.
    async fn whole_lines(self) -> Vec<Value> {
        let Self { proxy, directory } = self;
        let Proxy { running, state, .. } = proxy;
        running.drain(Duration::ZERO, Duration::from_secs(5)).await;
        state.log.close();
        let text = std::fs::read_to_string(directory.path().join("log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn answers_are_recorded_with_bytes_and_tries() {
    let (backend, _) = canned(OK).await;
    let down = nobody().await;
    let logged = Logged::start(Setup::to(&[down, backend]));
    let mut client = Http1::connect(&logged.proxy).await;
    assert_eq!(client.get("/").await.0, 200);
    assert_eq!(read(client.send(request("POST", "/").body(full("")).unwrap()).await).await.0, 200);
    let elsewhere = http::Request::get("/").header("host", "b.test").body(full("")).unwrap();
    assert_eq!(read(client.send(elsewhere).await).await.0, 404);
    set_endpoints(&logged.proxy.state, &[]);
    assert_eq!(client.get("/").await.0, 503);
    drop(client);
    let lines = logged.lines().await;
    // Turns go by address, and the ports are the system's choice.
    let (first, second) = if down < backend { (json!([null, 200]), json!([200])) } else { (json!([200]), json!([null, 200])) };
    assert_eq!(
        lines,
        [
            json!(["GET", 200, null, 0, 2, first]),
            json!(["POST", 200, null, 0, 2, second]),
            json!(["GET", 404, "no_host", 0, 23, []]),
            json!(["GET", 503, "no_endpoints", 0, 38, []]),
        ]
    );
}

#[tokio::test]
async fn a_request_has_its_identity_in_the_log_whoever_answers() {
    let (backend, seen) = canned(OK).await;
    let logged = Logged::start(Setup::to(&[backend]));
    let mut client = Http1::connect(&logged.proxy).await;
    for (host, id) in [("a.test", Some("mine")), ("b.test", Some("mine too")), ("b.test", Some("mine-3")), ("b.test", None)] {
        let request = http::Request::get("/").header("host", host);
        let request = id.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        read(client.send(request.body(full("")).unwrap()).await).await;
    }
    drop(client);
    assert!(seen.heads()[0].contains("x-request-id: mine\r\n"), "{:?}", seen.heads());
    let lines = logged.whole_lines().await;
    let ids: Vec<_> = lines.iter().map(|line| line["request.id"].as_str().unwrap()).collect();
    assert_eq!((ids[0], ids[2]), ("mine", "mine-3"), "what a client calls its request is kept");
    let made = [ids[1], ids[3]];
    assert!(made.iter().all(|id| id.len() == 32) && made[0] != made[1], "{made:?}: and made where it is missing or no name");
}

#[tokio::test]
async fn what_breaks_off_is_recorded_with_its_reason() {
    let echo = http1_backend(|request| async move {
        use http_body_util::BodyExt;
        http::Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let logged = Logged::start(Setup::to(&[echo]));
    let mut client = Http1::connect(&logged.proxy).await;
    let response = client.send(request("POST", "/").body(pieces(&["ab", "cde"], None)).unwrap()).await;
    assert_eq!(read(response).await, (200, "abcde".to_owned()));
    drop(client);
    assert_eq!(logged.lines().await, [json!(["POST", 200, null, 5, 5, [200]])]);

    let (half, _) = canned("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await;
    let timeouts = Timeouts { read: Duration::from_millis(100), ..Timeouts::default() };
    let logged = Logged::start(Setup { timeouts, ..Setup::to(&[half]) });
    raw(&logged.proxy, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    assert_eq!(logged.lines().await, [json!(["GET", 200, "read_timeout", 0, 5, [200]])]);

    let (silent, seen) = canned("").await;
    let logged = Logged::start(Setup::to(&[silent]));
    let mut stream = TcpStream::connect(logged.proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    eventually(|| seen.heads().len() == 1).await;
    drop(stream);
    assert_eq!(logged.lines().await, [json!(["GET", 499, "client_gone", 0, 0, [null]])]);
}

#[tokio::test]
async fn a_tunnel_is_recorded_when_it_ends() {
    let backend = scripted(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").await.unwrap();
        let mut asked = [0; 3];
        stream.read_exact(&mut asked).await.unwrap();
        stream.write_all(b"twelve bytes").await.unwrap();
    })
    .await;
    let logged = Logged::start(Setup::to(&[backend]));
    let mut stream = TcpStream::connect(logged.proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await.unwrap();
    read_head(&mut stream).await.unwrap();
    stream.write_all(b"abc").await.unwrap();
    let mut told = String::new();
    in_time(stream.read_to_string(&mut told)).await.unwrap();
    assert_eq!(told, "twelve bytes");
    assert_eq!(logged.lines().await, [json!(["GET", 101, null, 3, 12, [101]])]);
}
