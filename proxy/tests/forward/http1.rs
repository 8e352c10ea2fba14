//! HTTP/1.1 through the proxy: what the backend gets, what the client gets.

use std::time::Duration;

use bytes::Bytes;

use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use tidegate_proxy::filter::{Filter, Redirect, RedirectTarget, RedirectWhen};
use tidegate_proxy::model::{Scheme, Timeouts};
use tidegate_proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// Returns the fields of a head but the first line, without our request ID.
fn fields(head: &str) -> Vec<String> {
    let mut fields: Vec<_> = head.trim_end().lines().skip(1).filter(|line| !line.starts_with("x-request-id")).map(str::to_owned).collect();
    fields.sort();
    fields
}

const OURS: [&str; 6] = [
    "x-forwarded-for: 127.0.0.1",
    "x-forwarded-host: a.test",
    "x-forwarded-port: 80",
    "x-forwarded-proto: http",
    "x-forwarded-scheme: http",
    "x-real-ip: 127.0.0.1",
];

#[tokio::test]
async fn the_backend_gets_what_the_client_sent_without_what_was_meant_for_us() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup { public_ports: (Some(80), None), ..Setup::to(&[backend]) }.start();
    for (sent, expected) in [
        (
            "GET /a%2fb/./c?q=%zz HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nx-a: 2\r\n",
            ("GET /a%2Fb/c?q=%zz HTTP/1.1", vec!["host: a.test", "x-a: 1", "x-a: 2"]),
        ),
        ("GET //x/%41?a=/../ HTTP/1.1\r\nHost: a.test\r\n", ("GET //x/%41?a=/../ HTTP/1.1", vec!["host: a.test"])),
        ("GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n", ("GET /x HTTP/1.1", vec!["host: a.test"])),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: x-gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=1\r\n",
            ("GET / HTTP/1.1", vec!["host: a.test"]),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nProxy: x\r\n",
            ("GET / HTTP/1.1", vec!["host: a.test"]),
        ),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n", ("POST / HTTP/1.1", vec!["host: a.test", "content-length: 0"])),
        ("BREW / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\n", ("BREW / HTTP/1.1", vec!["host: a.test"])),
    ] {
        let sent = format!("{sent}Connection: close\r\n\r\n");
        let answer = raw(&proxy, &sent).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{sent}: {answer}");
        let head = seen.heads().pop().unwrap();
        assert_eq!(head.lines().next(), Some(expected.0), "{sent}");
        let mut expected: Vec<_> = expected.1.into_iter().chain(OURS).map(str::to_owned).collect();
        expected.sort();
        assert_eq!(fields(&head), expected, "{sent}");
    }
}

#[tokio::test]
async fn the_host_goes_on_as_written_and_a_trusted_proxy_is_believed() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup { trusted: vec!["127.0.0.0/8"], ..Setup::to(&[backend]) }.start();
    let fields_sent = "X-Forwarded-For: 192.0.2.1, 192.0.2.7\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.7\r\nX-Request-ID: mine";
    raw(&proxy, &format!("GET / HTTP/1.1\r\nHost: A.Test:8080\r\n{fields_sent}\r\nConnection: close\r\n\r\n")).await;
    let head = seen.heads().pop().unwrap();
    for expected in [
        "host: A.Test:8080",
        "forwarded: for=192.0.2.7",
        "x-forwarded-for: 192.0.2.1, 192.0.2.7, 127.0.0.1",
        "x-real-ip: 192.0.2.7",
        "x-forwarded-host: A.Test:8080",
        "x-forwarded-proto: https",
        "x-forwarded-port: 443",
        "x-request-id: mine",
    ] {
        assert!(head.lines().any(|line| line == expected), "{expected} in {head}");
    }
}

#[tokio::test]
async fn the_backend_is_told_the_same_of_a_request_with_a_body_and_of_one_without() {
    let (backend, seen) = canned(OK).await;
    for trusted in [vec!["127.0.0.0/8"], vec![]] {
        let proxy = Setup { trusted, ..Setup::to(&[backend]) }.start();
        let mut told = Vec::new();
        for (method, length, body) in [("GET", "", ""), ("POST", "Content-Length: 2\r\n", "hi")] {
            let said =
                "X-Real-IP: 1.2.3.4\r\nX-Forwarded-For: ::1\r\nx-forwarded-for: 192.0.2.7\r\nX-Request-ID: mine\r\nX-Request-ID: not";
            raw(&proxy, &format!("{method} / HTTP/1.1\r\nHost: a.test\r\n{length}{said}\r\nConnection: close\r\n\r\n{body}")).await;
            let head = seen.heads().pop().unwrap();
            let (head, _) = head.split_once("\r\n\r\n").unwrap();
            let mut lines: Vec<_> = head.lines().filter(|line| line.starts_with("x-")).map(str::to_owned).collect();
            lines.sort();
            told.push(lines);
        }
        assert_eq!(told[0].len(), 7, "{told:?}");
        assert_eq!(told[0], told[1]);
    }
}

#[tokio::test]
async fn the_client_gets_what_the_backend_sent_and_our_name_where_it_has_none() {
    for (answer, expected) in [
        (
            "HTTP/1.1 200 Fine\r\nServer: theirs\r\nDate: then\r\nContent-Length: 2\r\n\r\nok",
            vec!["HTTP/1.1 200 Fine", "server: theirs", "date: then", "content-length: 2"],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-gone\r\nX-Gone: 1\r\nKeep-Alive: x\r\n\r\nok",
            vec!["HTTP/1.1 200 OK", "server: tidegate", "content-length: 2"],
        ),
        ("HTTP/1.0 200 OK\r\n\r\nok", vec!["HTTP/1.1 200 OK", "server: tidegate", "transfer-encoding: chunked"]),
        ("HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n", vec!["HTTP/1.1 304 Not Modified", "server: tidegate", "etag: x"]),
        ("HTTP/1.1 204 No Content\r\n\r\n", vec!["HTTP/1.1 204 No Content", "server: tidegate"]),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            vec!["HTTP/1.1 200 OK", "server: tidegate", "content-length: 0"],
        ),
    ] {
        let backend = scripted(move |mut stream, _| async move {
            if read_head(&mut stream).await.is_some() {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let proxy = Setup::to(&[backend]).start();
        let got = raw(&proxy, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        let head = got.split("\r\n\r\n").next().unwrap();
        let mut lines: Vec<_> =
            head.lines().filter(|line| *line != "connection: close" && (!line.starts_with("date") || line.ends_with("then"))).collect();
        lines.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(lines, expected, "{answer}");
        assert!(head.contains("date: "), "{got}");
    }
}

#[tokio::test]
async fn what_cannot_be_served_says_why() {
    let (backend, seen) = canned(OK).await;
    let limits = tidegate_proxy::model::Limits { target_bytes: 200, header_bytes: 1000, ..Default::default() };
    let settings = Settings { reason_header: true, ..Settings::default() };
    let proxy = Setup { limits, settings, ..Setup::to(&[backend]) }.start();
    let long = "x".repeat(300);
    for (sent, status, reason) in [
        ("GET / HTTP/1.1\r\nHost: b.test\r\n".to_owned(), 404, "no_host"),
        ("GET / HTTP/1.1\r\n".to_owned(), 400, "bad_host"),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n".to_owned(), 400, "bad_host"),
        ("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n".to_owned(), 400, "bad_host"),
        ("GET /..%2fx HTTP/1.1\r\nHost: a.test\r\n".to_owned(), 400, "bad_path"),
        ("GET /%00 HTTP/1.1\r\nHost: a.test\r\n".to_owned(), 400, "bad_path"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n".to_owned(), 400, "bad_path"),
        ("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n".to_owned(), 400, "bad_request"),
        (format!("GET /{long} HTTP/1.1\r\nHost: a.test\r\n"), 414, "target_too_long"),
        (
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-A: {long}\r\nX-B: {long}\r\nX-C: {long}\r\nX-D: {long}\r\n"),
            431,
            "headers_too_large",
        ),
    ] {
        let answer = raw(&proxy, &format!("{sent}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent}: {answer}");
        assert!(answer.contains(&format!("x-tidegate-reason: {reason}\r\n")), "{sent}: {answer}");
        assert!(answer.ends_with(&format!(": {reason}\n")), "{sent}: {answer}");
    }
    let head = raw(&proxy, "HEAD / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains("content-length: 23\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(seen.heads().is_empty());
}

#[tokio::test]
async fn redirects_name_the_public_port() {
    let (backend, seen) = canned(OK).await;
    let https = Filter::Redirect(Redirect {
        when: RedirectWhen::ClearText,
        to: RedirectTarget::Same { scheme: Some(Scheme::Https), host: None },
        status: StatusCode::PERMANENT_REDIRECT,
    });
    for (port, expected) in
        [(None, "https://a.test/x/?q=1"), (Some(443), "https://a.test/x/?q=1"), (Some(8443), "https://a.test:8443/x/?q=1")]
    {
        let proxy = Setup { filters: vec![https.clone()], public_ports: (None, port), ..Setup::to(&[backend]) }.start();
        let answer = raw(&proxy, "GET /x/?q=1 HTTP/1.1\r\nHost: A.test:8080\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
        assert!(answer.contains(&format!("location: {expected}\r\n")), "{answer}");
    }
    let proxy = Setup { filters: vec![https], trusted: vec!["127.0.0.1"], ..Setup::to(&[backend]) }.start();
    let answer = raw(&proxy, "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "who came over https to a trusted proxy is not sent round in circles: {answer}");
    assert_eq!(seen.heads().len(), 1);
}

#[tokio::test]
async fn connections_to_the_backend_are_used_again_and_turns_are_even() {
    let (one, seen_one) = canned(OK).await;
    let (two, seen_two) = canned(OK).await;
    let proxy = Setup::to(&[one, two]).start();
    let mut client = Http1::connect(&proxy).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await, (200, "ok".to_owned()));
    }
    assert_eq!((seen_one.heads().len(), seen_two.heads().len()), (5, 5));
    assert_eq!((seen_one.connections(), seen_two.connections()), (1, 1));
}

#[tokio::test]
async fn idle_connections_close_after_their_time_and_when_the_endpoint_goes() {
    let open = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = open.clone();
    let backend = scripted(move |mut stream, _| {
        let open = counted.clone();
        async move {
            open.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            while read_head(&mut stream).await.is_some() {
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
            open.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        }
    })
    .await;
    let is_open = || open.load(std::sync::atomic::Ordering::SeqCst);
    let settings = Settings { upstream_idle: Duration::from_millis(200), ..Settings::default() };
    let proxy = Setup { settings, ..Setup::to(&[backend]) }.start();
    let mut client = Http1::connect(&proxy).await;
    let began = std::time::Instant::now();
    client.get("/").await;
    assert_eq!(is_open(), 1);
    eventually(|| is_open() == 0).await;
    assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());

    let settings = Settings { upstream_idle: Duration::from_secs(2), ..Settings::default() };
    let proxy = Setup { settings, ..Setup::to(&[backend]) }.start();
    let mut client = Http1::connect(&proxy).await;
    let began = std::time::Instant::now();
    client.get("/").await;
    set_endpoints(&proxy.state, &[nobody().await]);
    eventually(|| is_open() == 0).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    const PIECES: usize = 40;
    let backend = http1_backend(|request| async move {
        let sum = Checksum::of(request.into_body()).await;
        Response::builder().header("x-sum", format!("{sum:?}")).body(large(PIECES)).unwrap()
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut client = Http1::connect(&proxy).await;
    let expected = Checksum::of_large(PIECES);
    for length in [None, Some(PIECES * 65_536)] {
        let mut sent = request("POST", "/");
        if let Some(length) = length {
            sent = sent.header("content-length", length);
        }
        let response = client.send(sent.body(large(PIECES)).unwrap()).await;
        assert_eq!(response.headers()["x-sum"].to_str().unwrap(), format!("{expected:?}"), "{length:?}");
        assert_eq!(in_time(Checksum::of(response.into_body())).await, expected);
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let backend = scripted(|mut stream, _| async move {
        let mut seen = read_head(&mut stream).await.unwrap();
        while !seen.ends_with("x-sum: 7\r\n\r\n") {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).await.unwrap();
            assert_ne!(length, 0, "{seen}");
            seen.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: 8\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut client = Http1::connect(&proxy).await;
    let trailers: HeaderMap = [(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("7"))].into_iter().collect();
    let sent = request("POST", "/").header("trailer", "x-sum").header("te", "trailers").header("connection", "te");
    let response = client.send(sent.body(pieces(&["a", "b"], Some(trailers))).unwrap()).await;
    let collected = in_time(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-end"], "8");
    assert_eq!(collected.to_bytes(), "ok");
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it_before_it_sends() {
    let backend = http1_backend(|request| async move {
        assert!(!request.headers().contains_key("expect"));
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let head = in_time(read_head(&mut stream)).await.unwrap();
    assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    in_time(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nhello"), "{rest}");

    let unreachable = Setup::to(&[nobody().await]).start();
    let expecting = "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n";
    let answer = raw(&unreachable, expecting).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "nobody is asked for a body that has nowhere to go: {answer}");
}

#[tokio::test]
async fn events_pass_one_by_one() {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let receive = std::sync::Arc::new(std::sync::Mutex::new(Some(receive)));
    let backend = http1_backend(move |_| {
        let mut receive = receive.lock().unwrap().take().unwrap();
        let events = futures_util::stream::poll_fn(move |cx| {
            receive.poll_recv(cx).map(|event| event.map(|event| Ok(http_body::Frame::data(event))))
        });
        async move { Response::builder().header("content-type", "text/event-stream").body(StreamBody::new(events).boxed()).unwrap() }
    })
    .await;
    let proxy = Setup::to(&[backend]).start();
    let mut client = Http1::connect(&proxy).await;
    let mut body = client.send(request("GET", "/").body(full("")).unwrap()).await.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        send.send(Bytes::from_static(event.as_bytes())).unwrap();
        let frame = in_time(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    drop(send);
    assert!(in_time(body.frame()).await.is_none());
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_or_cut() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup { filters: vec![Filter::BodyLimit(10)], ..Setup::to(&[backend]) }.start();
    let mut client = Http1::connect(&proxy).await;
    let response = client.send(request("POST", "/").body(full("12345678901")).unwrap()).await;
    assert_eq!(read(response).await, (413, "413 Payload Too Large: body_too_large\n".to_owned()));
    assert!(seen.heads().is_empty());
    let response = Http1::connect(&proxy).await.send(request("POST", "/").body(full("1234567890")).unwrap()).await;
    assert_eq!(response.status(), 200);

    let slurp = http1_backend(|request| async move {
        let _ = request.into_body().collect().await;
        Response::new(full("late"))
    })
    .await;
    let proxy = Setup { filters: vec![Filter::BodyLimit(10)], ..Setup::to(&[slurp]) }.start();
    let streamed = request("POST", "/").body(pieces(&["12345", "67890", "1"], None)).unwrap();
    let response = Http1::connect(&proxy).await.send(streamed).await;
    assert_eq!(read(response).await.0, 413);
}

#[tokio::test]
async fn a_get_with_a_body_keeps_it() {
    let backend =
        http1_backend(|request| async move { Response::new(full(request.into_body().collect().await.unwrap().to_bytes())) }).await;
    let proxy = Setup::to(&[backend]).start();
    let sent = "GET / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(raw(&proxy, sent).await.ends_with("\r\n\r\nabc"));
}

#[tokio::test]
async fn requests_that_were_sent_at_once_are_answered_in_order() {
    let backend = http1_backend(|request| async move { Response::new(full(request.uri().path().to_owned())) }).await;
    let proxy = Setup::to(&[backend]).start();
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n");
    let answer = raw(&proxy, &format!("{}\r\n{}\r\n{}Connection: close\r\n\r\n", get("/1"), get("/2"), get("/3"))).await;
    let bodies: Vec<_> = answer.split("\r\n\r\n").skip(1).map(|rest| rest.get(..2).unwrap()).collect();
    assert_eq!(bodies, ["/1", "/2", "/3"]);
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_backend() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup { timeouts: Timeouts::default(), ..Setup::to(&[backend]) }.start();
    for fields in ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"] {
        let answer = raw(&proxy, &format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close\r\n"), "{answer}");
        let head = seen.heads().pop().unwrap();
        assert!(head.contains("transfer-encoding: chunked\r\n") && !head.contains("content-length"), "{head}");
    }
}

#[tokio::test]
async fn the_first_requests_of_many_connections_spread_evenly_over_all_workers() {
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(canned(OK).await);
    }
    let endpoints: Vec<_> = backends.iter().map(|(address, _)| *address).collect();
    let proxy = Setup { settings: Settings { workers: 4, ..Settings::default() }, ..Setup::to(&endpoints) }.start();
    let client = |requests| {
        let proxy = &proxy;
        async move {
            let mut client = Http1::connect(proxy).await;
            for _ in 0..requests {
                assert_eq!(client.get("/").await.0, 200);
            }
        }
    };
    futures_util::future::join_all((0..20).map(|_| client(5))).await;
    let counts: Vec<_> = backends.iter().map(|(_, seen)| seen.heads().len()).collect();
    assert!(counts.iter().sum::<usize>() == 100 && counts.iter().all(|count| (33..=34).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn the_head_of_a_response_comes_without_its_body() {
    let (backend, seen) = canned("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
    let proxy = Setup::to(&[backend]).start();
    for _ in 0..2 {
        let answer = raw(&proxy, "HEAD / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        assert!(answer.contains("content-length: 1000\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!((seen.heads().len(), seen.connections()), (2, 1));
}
