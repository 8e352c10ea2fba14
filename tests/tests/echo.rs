//! The echo server that ships in the binary, asked by curl and by a WebSocket client.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

use anyhow::{Context as _, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tidegate_tests::binary::{Process, curl, run};
use tokio_tungstenite::tungstenite::Message;

/// An echo server in clear text and one with TLS, in one process.
struct Echo {
    process: Process,
    http: String,
    https: String,
}

impl Echo {
    fn start() -> anyhow::Result<Self> {
        let mut process = Process::start(&["echo", "--listen", "127.0.0.1:0", "--tls", "127.0.0.1:0", "--name", "bob"], &[])?;
        let url = |line: String| line.split_whitespace().last().map(str::to_owned).context("an empty line");
        let http = url(process.line("listening on http://")?)?;
        let https = url(process.line("listening on https://")?)?;
        Ok(Self { process, http, https })
    }

    fn json(&self, arguments: &[&str], target: &str) -> anyhow::Result<Value> {
        let url = format!("{}{target}", self.http);
        let answer = curl(&[arguments, &[&url]].concat())?;
        serde_json::from_str(&answer).with_context(|| answer.clone())
    }
}

#[test]
fn it_shows_the_request_as_it_came() -> anyhow::Result<()> {
    let echo = Echo::start()?;
    let seen =
        echo.json(&["-H", "X-One: 1", "-H", "X-Two: 2", "-H", "X-One: 3", "--data", "hello", "--path-as-is"], "/a/../b%2Fc?q=%20")?;
    assert_eq!(seen["name"], "bob");
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["uri"], "/a/../b%2Fc?q=%20");
    assert_eq!(seen["protocol"], "HTTP/1.1");
    assert_eq!(seen["scheme"], "http");
    assert_eq!(seen["host"].as_str(), echo.http.strip_prefix("http://"));
    assert_eq!(seen["body"]["bytes"], 5);
    assert_eq!(seen["body"]["sha256"], "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(seen["body"]["text"], "hello");
    let values: Vec<_> = seen["headers"].as_array().context("headers")?.iter().filter(|pair| pair[0] == "x-one").map(|p| &p[1]).collect();
    assert_eq!(values, ["1", "3"]);
    Ok(())
}

#[test]
fn it_answers_as_the_request_asks() -> anyhow::Result<()> {
    let echo = Echo::start()?;
    let code = ["-o", "/dev/null", "-w", "%{http_code} %{size_download} %header{x-a}"];
    let got = |target: &str, more: &[&str]| curl(&[&code[..], more, &[&format!("{}{target}", echo.http)]].concat());
    assert_eq!(got("/?status=418&bytes=200000&header=X-A:b", &[])?, "418 200000 b");
    assert_eq!(got("/", &["-H", "X-Echo-Status: 204"])?, "204 0 ");
    assert_eq!(got("/?bytes=100&chunk=7&interval=1", &[])?, "200 100 ");
    assert_eq!(got("/?bytes=12", &["--head"])?, "200 0 ");
    assert!(echo.json(&[], "/?status=nine")?["error"].as_str().is_some_and(|error| error.contains("status")));
    let before = std::time::Instant::now();
    got("/?delay=300", &[])?;
    assert!(before.elapsed().as_millis() >= 300);
    assert_eq!(curl(&["--data", "abc", &format!("{}/?reflect=1", echo.http)])?, "abc");
    for abort in ["head", "body"] {
        let target = format!("{}/?bytes=1000&abort={abort}", echo.http);
        assert!(curl(&[&target]).is_err(), "{abort}: the answer was whole");
    }
    Ok(())
}

#[test]
fn it_speaks_http2_with_tls_and_without() -> anyhow::Result<()> {
    let echo = Echo::start()?;
    let seen = echo.json(&["--http2-prior-knowledge"], "/x")?;
    assert_eq!((seen["protocol"].as_str(), seen["authority"].as_str()), (Some("HTTP/2.0"), echo.http.strip_prefix("http://")));
    for (flag, protocol) in [("--http2", "HTTP/2.0"), ("--http1.1", "HTTP/1.1")] {
        let port = echo.https.rsplit(':').next().context("port")?;
        let connect = format!("echo.example:{port}:127.0.0.1:{port}");
        let answer = curl(&[flag, "--insecure", "--connect-to", &connect, &format!("https://echo.example:{port}/")])?;
        let seen: Value = serde_json::from_str(&answer)?;
        assert_eq!((&seen["protocol"], &seen["scheme"], &seen["server_name"]), (&protocol.into(), &"https".into(), &"echo.example".into()));
    }
    Ok(())
}

#[test]
fn it_sends_trailers_also_those_of_grpc() -> anyhow::Result<()> {
    let echo = Echo::start()?;
    for flag in ["--http2-prior-knowledge", "--http1.1"] {
        let answer = curl(&[flag, "-i", "-H", "TE: trailers", "-H", "X-Echo-Trailer: X-Sum: 7", &echo.http])?;
        assert!(answer.to_ascii_lowercase().contains("x-sum: 7"), "{flag}: {answer}");
    }
    let call = ["--http2-prior-knowledge", "-i", "-H", "Content-Type: application/grpc", "-H", "TE: trailers"];
    for (more, status) in [(&[][..], 0), (&["-H", "X-Echo-Grpc-Status: 5"][..], 5)] {
        let answer = curl(&[&call, more, &["--data-binary", "\u{1}frames", &format!("{}/pkg.Service/Call", echo.http)]].concat())?;
        assert!(answer.contains("content-type: application/grpc") && answer.contains("\u{1}frames"), "{answer}");
        assert!(answer.contains(&format!("grpc-status: {status}")), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn it_echoes_websocket_messages() -> anyhow::Result<()> {
    let echo = Echo::start()?;
    let address = echo.http.trim_start_matches("http://").to_owned();
    let stream = tokio::net::TcpStream::connect(&address).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/chat"), stream).await?;
    for message in [Message::text("hello"), Message::binary(vec![0_u8, 255])] {
        socket.send(message.clone()).await?;
        assert_eq!(socket.next().await.context("closed")??, message);
    }
    socket.close(None).await?;
    ensure!(matches!(socket.next().await, Some(Ok(Message::Close(_))) | None), "no close came back");
    Ok(())
}

#[test]
fn a_signal_lets_it_finish_what_is_under_way() -> anyhow::Result<()> {
    let mut echo = Echo::start()?;
    let url = format!("{}/?delay=500&body=done", echo.http);
    let request = std::thread::spawn(move || curl(&["--retry", "0", &url]));
    std::thread::sleep(std::time::Duration::from_millis(250));
    echo.process.signal("TERM")?;
    assert_eq!(request.join().map_err(|_| anyhow::anyhow!("panicked"))??, "done");
    assert_eq!(echo.process.wait()?.code(), Some(0));
    assert!(curl(&[&echo.http]).is_err(), "it still accepts");
    Ok(())
}

#[test]
fn an_address_that_is_taken_is_named() -> anyhow::Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let ended = run(&["echo", "--listen", &address], &[])?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains(&address), "{}", ended.stderr);
    Ok(())
}
