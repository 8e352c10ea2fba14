//! What happens when endpoints fail: other endpoints, second tries, and the statuses when nothing helps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tidegate_proxy::model::{Limits, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::*;

#[tokio::test]
async fn a_connect_failure_moves_to_another_endpoint_even_with_a_body() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup::to(&[nobody().await, nobody().await, backend]).start();
    let mut client = Http1::connect(&proxy).await;
    for _ in 0..6 {
        let response = client.send(request("POST", "/").body(full("")).unwrap()).await;
        assert_eq!(response.status(), 200);
        read(response).await;
    }
    assert_eq!(seen.heads().len(), 6);
}

#[tokio::test]
async fn with_all_endpoints_down_the_answer_is_502_and_without_any_503() {
    let proxy = Setup::to(&[nobody().await, nobody().await]).start();
    let mut client = Http1::connect(&proxy).await;
    assert_eq!(client.get("/").await, (502, "502 Bad Gateway: connect_failed\n".to_owned()));
    set_endpoints(&proxy.state, &[]);
    assert_eq!(client.get("/").await, (503, "503 Service Unavailable: no_endpoints\n".to_owned()));
}

#[tokio::test]
async fn a_connection_that_does_not_stand_in_time_is_a_504() {
    // A full accept queue leaves connection attempts unanswered.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..Timeouts::default() };
    let proxy = Setup { timeouts, ..Setup::to(&[address]) }.start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (504, "504 Gateway Timeout: connect_timeout\n".to_owned()));
}

/// Answers the first request of its first connection, and breaks off at the second; later connections answer all.
async fn breaks_off_once() -> (std::net::SocketAddr, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let address = scripted(move |mut stream, number| {
        let seen = noted.clone();
        async move {
            let mut served = 0;
            while let Some(head) = read_head(&mut stream).await {
                seen.heads.lock().unwrap().push(head.split_once("\r\n\r\n").unwrap().0.to_owned());
                served += 1;
                if number == 0 && served == 2 {
                    return;
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (address, seen)
}

#[tokio::test]
async fn a_get_is_sent_again_when_a_reused_connection_turns_out_dead() {
    for (method, body, expected, sent) in [("GET", "", 200, 3), ("PUT", "abc", 200, 3), ("POST", "abc", 502, 2), ("POST", "", 502, 2)] {
        let (backend, seen) = breaks_off_once().await;
        let proxy = Setup::to(&[backend]).start();
        let mut client = Http1::connect(&proxy).await;
        for expected in [200, expected] {
            let response = client.send(request(method, "/").body(full(body)).unwrap()).await;
            assert_eq!(read(response).await.0, expected, "{method} {body:?}");
        }
        let heads = seen.heads();
        assert_eq!(heads.len(), sent, "{method} {body:?}");
        if let [_, once, again] = heads.as_slice() {
            let fields = |head: &str| head.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(fields(once), fields(again), "{method} {body:?}");
            assert_eq!(fields(again).iter().filter(|field| field.starts_with("x-")).count(), 7, "{again}");
        }
    }
}

#[tokio::test]
async fn a_request_that_got_no_more_than_an_interim_response_is_sent_again_as_it_was() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let backend = scripted(move |mut stream, number| {
        let heads = Arc::clone(&seen);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                let count = {
                    let mut heads = heads.lock().unwrap();
                    heads.push(head);
                    heads.len()
                };
                if number == 0 && count == 2 {
                    stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await.unwrap();
                    return;
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut client = Http1::connect(&proxy).await;
    for target in ["/first", "/second"] {
        let response = client.send(request("GET", target).header("cookie", "a=b").body(full("")).unwrap()).await;
        assert_eq!(read(response).await.0, 200);
    }
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 3);
    assert!(heads[1].contains("cookie: a=b") && heads[1].contains("host: a.test"), "{}", heads[1]);
    assert_eq!(heads[1], heads[2]);
}

#[tokio::test]
async fn a_fresh_connection_that_breaks_off_is_not_tried_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let backend = scripted(move |mut stream, _| {
        let requests = Arc::clone(&counted);
        async move {
            if read_head(&mut stream).await.is_some() {
                requests.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let proxy = Setup::to(&[backend, backend]).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (502, "502 Bad Gateway: upstream_reset\n".to_owned()));
    assert_eq!(requests.load(Ordering::SeqCst), 1, "what kills one Pod must not go on to kill the next");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_never_reused() {
    let backend = scripted(|mut stream, _| async move {
        if read_head(&mut stream).await.is_some() {
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut client = Http1::connect(&proxy).await;
    for body in ["x", ""] {
        for _ in 0..20 {
            let response = client.send(request("POST", "/").body(full(body)).unwrap()).await;
            assert_eq!(read(response).await.0, 200);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_connection_with_unasked_bytes_is_never_reused() {
    let backend = scripted(|mut stream, _| async move {
        while read_head(&mut stream).await.is_some() {
            stream.write_all(OK.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await.unwrap();
        }
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut client = Http1::connect(&proxy).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await, (200, "ok".to_owned()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_502_and_is_not_tried_again() {
    let (backend, seen) = canned("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    let proxy = Setup::to(&[backend, backend]).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await.0, 502);
    assert_eq!(seen.heads().len(), 1);
}

fn read_within(read: Duration) -> Timeouts {
    Timeouts { read, ..Timeouts::default() }
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_a_504() {
    let (backend, seen) = canned("").await;
    let proxy = Setup { timeouts: read_within(Duration::from_millis(150)), ..Setup::to(&[backend, backend]) }.start();
    let began = Instant::now();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (504, "504 Gateway Timeout: read_timeout\n".to_owned()));
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(seen.heads().len(), 1, "a slow request is not sent twice");
}

#[tokio::test]
async fn an_endpoint_that_stops_in_the_middle_is_cut_off() {
    let (backend, _) = canned("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345").await;
    let proxy = Setup { timeouts: read_within(Duration::from_millis(150)), ..Setup::to(&[backend]) }.start();
    let response = Http1::connect(&proxy).await.send(request("GET", "/").body(full("")).unwrap()).await;
    assert_eq!(response.status(), 200);
    assert!(in_time(response.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_in_the_middle_cuts_the_answer() {
    for head in ["content-length: 10\r\n\r\n12345", "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n"] {
        let backend = scripted(move |mut stream, _| async move {
            read_head(&mut stream).await.unwrap();
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await.unwrap();
        })
        .await;
        let proxy = Setup::to(&[backend]).start();
        let response = Http1::connect(&proxy).await.send(request("GET", "/").body(full("")).unwrap()).await;
        assert!(in_time(response.into_body().collect()).await.is_err(), "{head}");
    }
}

#[tokio::test]
async fn a_body_that_is_slow_but_steady_is_not_cut() {
    let backend = scripted(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").await.unwrap();
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(b"x").await.unwrap();
        }
    })
    .await;
    let proxy = Setup { timeouts: read_within(Duration::from_millis(300)), ..Setup::to(&[backend]) }.start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (200, "xxxxxx".to_owned()));
}

#[tokio::test]
async fn an_endpoint_that_takes_no_more_of_a_body_is_a_504() {
    let backend = scripted(|mut stream, _| async move {
        let _ = read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
    })
    .await;
    let timeouts = Timeouts { send: Duration::from_millis(200), ..Timeouts::default() };
    let proxy = Setup { timeouts, ..Setup::to(&[backend]) }.start();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let (mut receive, mut send) = stream.split();
    let sending = async {
        let _ = send.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n").await;
        let piece = vec![0; 65_536];
        while send.write_all(&piece).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 64];
    let length = tokio::select! {
        () = sending => unreachable!(),
        read = in_time(receive.read(&mut answer)) => read.unwrap(),
    };
    assert!(answer[..length].starts_with(b"HTTP/1.1 504 "), "{}", String::from_utf8_lossy(&answer[..length]));
}

#[tokio::test]
async fn a_client_that_pauses_in_its_body_gets_a_408_and_the_endpoint_is_not_blamed() {
    let (backend, _) = canned("").await;
    let limits = Limits { body_timeout: Duration::from_millis(300), ..Limits::default() };
    let timeouts = Timeouts { read: Duration::from_millis(100), send: Duration::from_millis(100), ..Timeouts::default() };
    let proxy = Setup { limits, timeouts, ..Setup::to(&[backend]) }.start();
    let answer = raw(&proxy, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\nConnection: close\r\n\r\n12345").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.ends_with(": body_timeout\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_endpoint() {
    let gone = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&gone);
    let backend = scripted(move |mut stream, _| {
        let gone = Arc::clone(&counted);
        async move {
            read_head(&mut stream).await.unwrap();
            let _ = stream.read(&mut [0; 1]).await;
            gone.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(gone.load(Ordering::SeqCst), 0);
    drop(stream);
    eventually(|| gone.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_whole_request_is_passed_on() {
    let backend = scripted(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nbegin").await.unwrap();
    let head = in_time(read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{head}");
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again() {
    let address = nobody().await;
    let proxy = Setup::to(&[address]).start();
    let mut client = Http1::connect(&proxy).await;
    assert_eq!(client.get("/").await.0, 502);
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    assert_eq!(client.get("/").await.0, 200);
}
