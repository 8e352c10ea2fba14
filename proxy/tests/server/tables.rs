//! Tables as they are swapped under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_proxy::error::Reason;
use tokio::net::TcpStream;

use crate::world::*;

#[tokio::test]
async fn a_thousand_publications_under_load_lose_no_request_and_leave_no_table() {
    let running = start(settings(), vec![listener("http")]);
    let at = address(&running, "http");
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(at).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let head = exchange(&mut stream, HEAD).await;
                    assert!(head.starts_with("HTTP/1.1 404 ") || head.starts_with("HTTP/1.1 503 "), "{head}");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut weak = Vec::new();
    for turn in 0..1000_u64 {
        let mut next = listener("http");
        next.fallback = (turn % 2 == 0).then(|| refusing(Reason::NoEndpoints));
        assert_eq!(running.publisher().publish(table(vec![next])), turn + 2);
        weak.push(Arc::downgrade(&running.publisher().current()));
        tokio::task::yield_now().await;
    }
    eventually("requests were served meanwhile", || served.load(Ordering::Relaxed) > 100).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    weak.pop();
    eventually("old tables are freed", || weak.iter().all(|table| table.strong_count() == 0)).await;
}

#[tokio::test]
async fn idle_workers_let_go_of_old_tables() {
    let running = start(settings(), vec![listener("http")]);
    // Both workers serve once, so that they have seen the table.
    for _ in 0..8 {
        exchange(&mut TcpStream::connect(address(&running, "http")).await.unwrap(), HEAD).await;
    }
    let first = Arc::downgrade(&running.publisher().current());
    running.publisher().publish(table(vec![listener("http")]));
    eventually("the first table is freed", || first.strong_count() == 0).await;
}

#[tokio::test]
async fn the_next_request_of_an_open_connection_sees_the_new_table() {
    let running = start(settings(), vec![listener("http")]);
    let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
    let mut next = listener("http");
    next.fallback = Some(refusing(Reason::NoEndpoints));
    running.publisher().publish(table(vec![next]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 503 "));
}
