//! Clients that use HTTP to do harm.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::join_all;
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::world::*;

#[tokio::test]
async fn streams_that_are_opened_and_given_up_without_end_end_the_connection() {
    let backend = Backend::start().await;
    let (listener, state) = forwarding("http", backend.address);
    let running = start_with(settings(), vec![listener], state);
    let (client, mut connection) = http2(TcpStream::connect(address(&running, "http")).await.unwrap()).await;
    let giving_up = async {
        loop {
            let requests = (0..100).map(|_| {
                let mut client = client.clone();
                async move { get_http2_from(&mut client, "/wait").await }
            });
            let mut requests = pin!(join_all(requests));
            // They are sent, and have arrived, before they are given up.
            poll_fn(|cx| {
                let _ = requests.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = &mut connection => drop(ended),
        () = giving_up => {}
        () = tokio::time::sleep(SOON) => panic!("it went on"),
    }
    // Others are served.
    let (mut other, _connection) = http2(TcpStream::connect(address(&running, "http")).await.unwrap()).await;
    assert_eq!(get_http2(&mut other).await.unwrap().status(), 200);
}
