//! gRPC by grpcio on both ends: calls of every kind, errors after and instead of messages, deadlines.

use serde_json::json;
use tidegate_tests::front::{Front, Route};
use tidegate_tests::python::{Server, ask};

use crate::wait_for;

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_every_kind_pass_however_the_backend_is_said_to_speak_grpc() -> anyhow::Result<()> {
    let server = wait_for(|| Server::start("grpc_peer.py"))?;
    let routes = [
        Route { app_protocol: "grpc", ..Route::plain("grpc.test", server.address) },
        Route { app_protocol: "kubernetes.io/h2c", ..Route::plain("h2c.test", server.address) },
        Route { annotation: "tidegate.dev/backend-protocol: GRPC", ..Route::plain("annotated.test", server.address) },
    ];
    let front = Front::start(&routes, &[]).await?;
    let (http, https) = (front.tidegate.http.to_string(), front.tidegate.https.to_string());
    let certificate = front.certificate();
    let certificate = certificate.to_str().unwrap_or_default();
    let expected = json!({
        "unary": "hello world",
        "server_stream": ["n0", "n1", "n2"],
        "client_stream": "a+b+c",
        "bidi": ["PING 0", "PING 1", "PING 2"],
        "large": 3_000_000,
        "fail": {"code": "NOT_FOUND", "details": "no such thing: caf\u{e9}", "trailers": {"x-detail": "7", "x-binary-bin": "00ff"}},
        "fail_late": {"code": "DATA_LOSS", "details": "the rest is gone", "trailers": {}},
        "before_fail_late": ["one"],
        "no_such_method": "UNIMPLEMENTED",
        "deadline": "DEADLINE_EXCEEDED",
        "the_server_saw_the_deadline": "yes",
    });
    for route in &routes {
        for arguments in [&["call", &http, route.host][..], &["call", &https, route.host, certificate]] {
            assert_eq!(wait_for(|| ask("grpc_peer.py", arguments))?, expected, "{arguments:?}");
        }
    }
    Ok(())
}
