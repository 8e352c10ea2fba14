#![expect(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::{Awaited, Health, Readiness};
use super::*;

/// Sends a request on a connection of its own and returns status line and body.
async fn ask(address: std::net::SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_health_server_answers_probes_and_metrics_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let readiness = Readiness::default();
    let health = Health { readiness: readiness.clone(), metrics: Arc::new(crate::metrics::tests::page()) };
    let server = tokio::spawn(serve(listener, Arc::new(health)));

    let (status, body) = ask(address, "GET /readyz").await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.starts_with("waiting for objects"), "{body}");
    for alive in ["GET /healthz", "GET /livez"] {
        assert_eq!(ask(address, alive).await, ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    }
    Awaited::ALL.iter().for_each(|what| readiness.done(*what));
    assert_eq!(ask(address, "GET /readyz").await.0, "HTTP/1.1 200 OK");
    readiness.drain();
    assert_eq!(ask(address, "GET /readyz?verbose").await, ("HTTP/1.1 503 Service Unavailable".to_owned(), "draining\n".to_owned()));
    assert!(ask(address, "GET /metrics").await.1.contains("tidegate_diagnostics"));
    for nothing in ["GET /", "GET /table", "GET /metrics/", "GET /version"] {
        assert_eq!(ask(address, nothing).await.0, "HTTP/1.1 404 Not Found", "{nothing}");
    }
    assert_eq!(ask(address, "POST /readyz").await.0, "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(ask(address, "HEAD /livez").await, ("HTTP/1.1 200 OK".to_owned(), String::new()));
    server.abort();
}

/// A page in many pieces, and one whose maker fails.
#[derive(Debug)]
struct Long;

impl Pages for Long {
    fn page(&self, _: &str, _: Option<&str>) -> Option<Reply> {
        None
    }

    fn pieces(&self, path: &str) -> Option<Pieces> {
        let fails = path == "/fails";
        let write = move |mut sink: Sink| {
            let pieces = (0..1_000).map(|_| "piece\n".repeat(1_000)).take_while(|piece| sink(piece.clone())).count();
            assert!(pieces == 1_000 && !fails, "meant to fail");
        };
        path.starts_with('/').then(|| Pieces { media_type: "text/plain", write: Box::new(write) })
    }
}

#[tokio::test]
async fn a_page_in_pieces_arrives_whole_or_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, Arc::new(Long)));
    let (status, body) = ask(address, "GET /long").await;
    assert_eq!((&*status, body.matches("piece\n").count()), ("HTTP/1.1 200 OK", 1_000_000));
    assert!(body.ends_with("0\r\n\r\n"), "the end of the last chunk");
    let (status, body) = ask(address, "GET /fails").await;
    assert!(status == "HTTP/1.1 200 OK" && !body.ends_with("0\r\n\r\n"), "what is not whole does not end as if it were");
    assert_eq!(ask(address, "HEAD /long").await, ("HTTP/1.1 200 OK".to_owned(), String::new()));
    server.abort();
}
