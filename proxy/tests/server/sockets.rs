//! Listening sockets, at the start and as tables change.

use std::net::SocketAddr;

use tidegate_proxy::server::Bound;
use tidegate_proxy::table::Listener;
use tokio::net::TcpStream;

use crate::world::*;

fn at(name: &str, address: SocketAddr) -> Listener {
    Listener { address, ..listener(name) }
}

#[tokio::test]
async fn an_address_that_another_server_has_is_refused_by_name() {
    let running = start(settings(), vec![listener("http")]);
    let taken = address(&running, "http");
    let error = Bound::bind(settings(), &table(vec![at("second", taken)])).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&taken.to_string()) && error.to_string().contains("second"), "{error}");
}

#[tokio::test]
async fn when_one_listener_cannot_be_bound_none_stays() {
    let running = start(settings(), vec![listener("http")]);
    let taken = address(&running, "http");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Bound::bind(settings(), &table(vec![at("first", free), at("second", taken)])).unwrap_err();
    std::net::TcpListener::bind(free).expect("nobody listens there");
}

#[tokio::test]
async fn all_workers_share_the_port_that_the_system_chose() {
    let running = start(settings(), vec![listener("http")]);
    assert_ne!(address(&running, "http").port(), 0);
    assert_eq!(running.addresses(), running.listening());
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address(&running, "http")).await.unwrap();
        assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));
    }
}

#[tokio::test]
async fn sockets_follow_the_table() {
    let running = start(settings(), vec![listener("one")]);
    let one = address(&running, "one");
    let mut open = TcpStream::connect(one).await.unwrap();
    exchange(&mut open, HEAD).await;

    running.publisher().publish(table(vec![listener("one"), listener("two")]));
    eventually("the second listens", || running.listening().len() == 2).await;
    assert_eq!(address(&running, "one"), one, "a listener that stays keeps its socket");
    let mut stream = TcpStream::connect(address(&running, "two")).await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "));

    running.publisher().publish(table(vec![listener("two")]));
    eventually("the first is closed", || std::net::TcpStream::connect(one).is_err()).await;
    assert!(exchange(&mut open, HEAD).await.starts_with("HTTP/1.1 "), "an open connection goes on");
}

#[tokio::test]
async fn an_address_that_becomes_free_is_bound_then() {
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = occupied.local_addr().unwrap();
    let running = start(settings(), vec![listener("one")]);
    running.publisher().publish(table(vec![listener("one"), at("two", wanted)]));
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(running.listening().len(), 1);
    let mut stream = TcpStream::connect(address(&running, "one")).await.unwrap();
    assert!(exchange(&mut stream, HEAD).await.starts_with("HTTP/1.1 404 "), "the others serve");
    drop(occupied);
    eventually("the second listens", || running.listening().len() == 2).await;
    TcpStream::connect(wanted).await.unwrap();
}
