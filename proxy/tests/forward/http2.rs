//! HTTP/2 on either side, and TLS towards the backend.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_proxy::model::UpstreamProtocol;
use tidegate_proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

use crate::support::*;

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[tokio::test]
async fn http2_to_http1_gives_one_host_and_one_cookie() {
    let (backend, seen) = canned(OK).await;
    let proxy = Setup::to(&[backend]).start();
    let client = Http2::connect(&proxy).await;
    let sent = request2("GET", "/x?y").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
    let response = client.send(sent.body(full("")).unwrap()).await;
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(read(response).await, (200, "ok".to_owned()));
    let head = seen.heads().pop().unwrap();
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    for field in ["\nhost: a.test\r\n", "\ncookie: a=1; b=2\r\n", "\nx-forwarded-host: a.test\r\n"] {
        assert_eq!(head.matches(field).count(), 1, "{field} in {head}");
    }
    assert!(!head.contains("\r\nte:"), "{head}");
}

#[tokio::test]
async fn http1_to_http2_gives_an_authority() {
    let (backend, _) = http2_backend(100, |request| async move {
        let text = format!("{} {:?} {:?}", request.uri(), request.headers().get("host"), request.headers().get("te"));
        Response::new(full(text))
    })
    .await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let mut client = Http1::connect(&proxy).await;
    assert_eq!(client.get("/x?y").await, (200, "http://a.test/x?y None None".to_owned()));
    let sent = request("GET", "/").header("te", "trailers").header("connection", "te").body(full("")).unwrap();
    assert_eq!(read(client.send(sent).await).await.1, r#"http://a.test/ None Some("trailers")"#);
}

/// Answers as a gRPC server does: messages as they come, a status in the trailers.
async fn grpc(request: Request<hyper::body::Incoming>) -> Response<AnyBody> {
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let collected = request.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().map(|trailers| trailers["x-sum"].clone()), Some(HeaderValue::from_static("7")));
    let status = trailers(&[("grpc-status", "0")]);
    Response::builder().header("content-type", "application/grpc").body(pieces(&["one", "two"], Some(status))).unwrap()
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let (backend, _) = http2_backend(100, grpc).await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let client = Http2::connect(&proxy).await;
    for _ in 0..3 {
        let sent = request2("POST", "/pkg.Service/Method").header("te", "trailers").header("content-type", "application/grpc");
        let response = client.send(sent.body(pieces(&["ab", "c"], Some(trailers(&[("x-sum", "7")])))).unwrap()).await;
        assert_eq!(response.status(), 200);
        let collected = in_time(response.into_body().collect()).await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "onetwo");
    }
}

#[tokio::test]
async fn large_bodies_pass_whole_over_http2() {
    const PIECES: usize = 24;
    let (backend, _) = http2_backend(100, |request| async move {
        let sum = Checksum::of(request.into_body()).await;
        Response::builder().header("x-sum", format!("{sum:?}")).body(large(PIECES)).unwrap()
    })
    .await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let client = Http2::connect(&proxy).await;
    let expected = Checksum::of_large(PIECES);
    let exchange = |client: Http2| async move {
        let response = client.send(request2("POST", "/").body(large(PIECES)).unwrap()).await;
        assert_eq!(response.headers()["x-sum"].to_str().unwrap(), format!("{expected:?}"));
        assert_eq!(in_time(Checksum::of(response.into_body())).await, expected);
    };
    tokio::join!(exchange(client.clone()), exchange(client.clone()), exchange(client));
}

#[tokio::test]
async fn requests_share_a_connection_until_its_streams_run_out() {
    for (streams, connections) in [(100, 1), (4, 3), (12, 1)] {
        // Nobody is answered before all are here: were one left to wait for a stream, all would hang.
        let all = Arc::new(Barrier::new(12));
        let (backend, seen) = http2_backend(streams, move |_| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                Response::new(full("ok"))
            }
        })
        .await;
        let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
        let client = Http2::connect(&proxy).await;
        for _ in 0..2 {
            let one = |client: Http2| async move { read(client.send(request2("GET", "/").body(full("")).unwrap()).await).await.0 };
            let answers = futures_util::future::join_all((0..12).map(|_| one(client.clone()))).await;
            assert_eq!(answers, [200; 12], "{streams} streams");
        }
        assert_eq!(seen.connections(), connections, "{streams} streams");
    }
}

/// What a scripted HTTP/2 connection does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Answer,
    Refuse,
    GoAway,
    Reset,
}

/// Speaks HTTP/2 as scripted: `act` gets the numbers of the connection and of the request on it, from 0.
async fn scripted_http2(act: impl Fn(usize, usize) -> Act + Clone + Send + Sync + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answered);
    let address = scripted(move |stream, connection| {
        let (act, answered) = (act.clone(), Arc::clone(&counted));
        async move {
            let mut http = h2::server::handshake(stream).await.unwrap();
            for number in 0.. {
                let Some(Ok((request, mut respond))) = http.accept().await else { return };
                match act(connection, number) {
                    Act::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
                    Act::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                    Act::GoAway => {
                        // GOAWAY with no error says that nothing after the stream before this was looked at; h2 can only say it
                        // of what it has not accepted, so that the reset says it of this one.
                        http.graceful_shutdown();
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                    Act::Answer => {
                        let answered = Arc::clone(&answered);
                        tokio::spawn(async move {
                            let mut body = request.into_body();
                            let mut echoed = Vec::new();
                            while let Some(Ok(data)) = body.data().await {
                                let _ = body.flow_control().release_capacity(data.len());
                                echoed.extend_from_slice(&data);
                            }
                            answered.fetch_add(1, Ordering::SeqCst);
                            let mut send = respond.send_response(Response::new(()), false).unwrap();
                            send.send_data(Bytes::from(echoed), true).unwrap();
                        });
                    }
                }
            }
        }
    })
    .await;
    (address, answered)
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_with_its_body() {
    for first in [Act::Refuse, Act::GoAway] {
        let (backend, answered) =
            scripted_http2(move |connection, number| if connection == 0 && number == 1 { first } else { Act::Answer }).await;
        let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
        let client = Http2::connect(&proxy).await;
        for body in ["one", "two", "three"] {
            let response = client.send(request2("POST", "/").body(full(body)).unwrap()).await;
            assert_eq!(read(response).await, (200, body.to_owned()));
        }
        assert_eq!(answered.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_between_requests_is_replaced() {
    let backend = scripted(|stream, _| async move {
        let mut http = h2::server::handshake(stream).await.unwrap();
        let Some(Ok((_, mut respond))) = http.accept().await else { return };
        respond.send_response(Response::new(()), true).unwrap();
        http.graceful_shutdown();
        while http.accept().await.is_some() {}
    })
    .await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let client = Http2::connect(&proxy).await;
    for _ in 0..10 {
        let response = client.send(request2("POST", "/").body(full("x")).unwrap()).await;
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn a_stream_that_was_worked_on_is_not_sent_again() {
    let (backend, answered) = scripted_http2(|_, number| if number == 1 { Act::Reset } else { Act::Answer }).await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let client = Http2::connect(&proxy).await;
    let post = || request2("POST", "/").body(full("x")).unwrap();
    assert_eq!(client.send(post()).await.status(), 200);
    assert_eq!(client.send(post()).await.status(), 502);
    assert_eq!(answered.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_endpoint_that_refuses_everything_is_a_502() {
    let (backend, _) = scripted_http2(|_, _| Act::Refuse).await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (502, "502 Bad Gateway: upstream_reset\n".to_owned()));
}

#[tokio::test]
async fn an_endpoint_that_speaks_no_http2_is_a_502() {
    let (backend, _) = canned("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (502, "502 Bad Gateway: connect_failed\n".to_owned()));
}

/// Makes what accepts TLS with a certificate that nobody would trust.
fn untrusted(alpn: &[&[u8]]) -> tokio_rustls::TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(["elsewhere.test".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// Serves HTTP over TLS; answers with the protocol spoken.
async fn tls_backend(alpn: Vec<&'static [u8]>) -> (SocketAddr, Arc<AtomicUsize>) {
    let acceptor = untrusted(&alpn);
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = scripted(move |stream, _| {
        let acceptor = acceptor.clone();
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let Ok(tls) = acceptor.accept(stream).await else { return };
            assert_eq!(tls.get_ref().1.server_name(), None, "an address is no server name");
            let spoken = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                Ok::<_, std::convert::Infallible>(Response::new(full(format!("{:?}", request.version()))))
            });
            if spoken.as_deref() == Some(b"h2") {
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await;
            } else {
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service).await;
            }
        }
    })
    .await;
    (address, connections)
}

#[tokio::test]
async fn tls_speaks_what_alpn_agrees_on() {
    for (protocol, alpn, spoken) in [
        (UpstreamProtocol::Https, vec![b"http/1.1".as_slice()], "HTTP/1.1"),
        (UpstreamProtocol::Https, vec![], "HTTP/1.1"),
        (UpstreamProtocol::Https, vec![b"h2", b"http/1.1"], "HTTP/2.0"),
        (UpstreamProtocol::H2, vec![b"h2", b"http/1.1"], "HTTP/2.0"),
    ] {
        let (backend, connections) = tls_backend(alpn).await;
        let proxy = Setup::over(&[backend], protocol).start();
        let mut client = Http1::connect(&proxy).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await, (200, spoken.to_owned()), "{protocol:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_tls_connection_that_was_idle_for_long_ends_with_a_word() {
    for body in ["", "x"] {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let (seen, acceptor) = (Arc::clone(&ends), untrusted(&[b"http/1.1"]));
        let backend = scripted(move |stream, _| {
            let (ends, acceptor) = (Arc::clone(&seen), acceptor.clone());
            async move {
                let mut tls = acceptor.accept(stream).await.unwrap();
                let mut read = vec![0; 4096];
                assert!(tls.read(&mut read).await.unwrap() > 0);
                tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                // Without a word the end would be an error: somebody might have cut the connection.
                let end = loop {
                    match tls.read(&mut read).await {
                        Ok(0) => break Ok(()),
                        Ok(_) => {}
                        Err(error) => break Err(error.to_string()),
                    }
                };
                ends.lock().unwrap().push(end);
            }
        })
        .await;
        let settings = Settings { upstream_idle: Duration::from_millis(100), ..Settings::default() };
        let proxy = Setup { settings, ..Setup::over(&[backend], UpstreamProtocol::Https) }.start();
        let request = request("POST", "/").body(full(body)).unwrap();
        assert_eq!(Http1::connect(&proxy).await.send(request).await.status(), 204);
        eventually(|| !ends.lock().unwrap().is_empty()).await;
        assert_eq!(*ends.lock().unwrap(), [Ok(())], "{body:?}");
    }
}

#[tokio::test]
async fn a_failed_tls_handshake_is_a_502() {
    let clear = scripted(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let proxy = Setup::over(&[clear], UpstreamProtocol::Https).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await, (502, "502 Bad Gateway: upstream_tls\n".to_owned()));
    let (only_http1, _) = tls_backend(vec![b"http/1.1"]).await;
    let proxy = Setup::over(&[only_http1], UpstreamProtocol::H2).start();
    assert_eq!(Http1::connect(&proxy).await.get("/").await.0, 502);
}

#[tokio::test]
async fn a_client_that_resets_its_stream_frees_the_endpoint() {
    let (backend, _) = http2_backend(100, |_| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Response::new(full(""))
    })
    .await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let client = Http2::connect(&proxy).await;
    let mut sender = client.0.clone();
    let pending = sender.send_request(request2("GET", "/").body(full("")).unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(100), pending).await.is_err());
    let upstream =
        proxy.state.upstreams.get(&tidegate_proxy::upstream::UpstreamKey { backend: "test".into(), protocol: UpstreamProtocol::H2c });
    eventually(|| upstream.endpoints().endpoints.iter().all(|endpoint| endpoint.in_flight() == 0)).await;
}

#[tokio::test]
async fn a_silent_connection_is_not_used_again() {
    // The first connection says no more after its SETTINGS, as one does whose path was lost.
    let backend = scripted(|stream, connection| async move {
        let mut http = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = http.accept().await {
            if connection == 0 {
                std::mem::forget(respond);
            } else {
                respond.send_response(Response::new(()), true).unwrap();
            }
        }
    })
    .await;
    let timeouts = tidegate_proxy::model::Timeouts { read: Duration::from_millis(150), ..Default::default() };
    let proxy = Setup { timeouts, ..Setup::over(&[backend], UpstreamProtocol::H2c) }.start();
    let client = Http2::connect(&proxy).await;
    for expected in [504, 200, 200] {
        let response = client.send(request2("POST", "/").body(full("x")).unwrap()).await;
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn a_connection_made_for_an_upgrade_serves_no_requests_of_http2() {
    // Takes either protocol by its first bytes, and says which it was.
    let backend = scripted(|stream, _| async move {
        let mut first = [0; 3];
        while (1..3).contains(&stream.peek(&mut first).await.unwrap()) {
            tokio::task::yield_now().await;
        }
        let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
            Ok::<_, std::convert::Infallible>(Response::new(full(format!("{:?}", request.version()))))
        });
        if &first == b"PRI" {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    let proxy = Setup::over(&[backend], UpstreamProtocol::H2c).start();
    let mut client = Http1::connect(&proxy).await;
    for (upgrade, expected) in [(true, "HTTP/1.1"), (false, "HTTP/2.0"), (true, "HTTP/1.1"), (false, "HTTP/2.0")] {
        let mut sent = request("GET", "/");
        if upgrade {
            sent = sent.header("connection", "upgrade").header("upgrade", "websocket");
        }
        assert_eq!(read(client.send(sent.body(full("")).unwrap()).await).await, (200, expected.to_owned()));
    }
}
