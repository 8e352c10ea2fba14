//! WebSocket by the library websockets on both ends, in clear text and over TLS: sub-protocol and compression are agreed between the
//! ends, messages of all kinds and sizes come back, and the server's close reaches the client as it was worded.

use serde_json::json;
use tidegate_tests::front::{Front, Route};
use tidegate_tests::python::{Server, ask};

use crate::wait_for;

#[tokio::test(flavor = "multi_thread")]
async fn websockets_talk_through_a_plain_and_a_declared_backend() -> anyhow::Result<()> {
    let server = wait_for(|| Server::start("websocket_peer.py"))?;
    let declared = Route { app_protocol: "kubernetes.io/ws", ..Route::plain("declared.test", server.address) };
    let front = Front::start(&[Route::plain("plain.test", server.address), declared], &[]).await?;
    let (http, https) = (front.tidegate.http.port().to_string(), front.tidegate.https.port().to_string());
    let certificate = front.certificate();
    let certificate = certificate.to_str().unwrap_or_default();
    let expected = json!({
        "subprotocol": "chat",
        "extensions": ["permessage-deflate"],
        "text": true, "binary": true, "empty": true, "large": true,
        "fragments": "in fragments",
        "pong": true,
        "close": [4001, "as you wish"],
    });
    for host in ["plain.test", "declared.test"] {
        for arguments in [&["talk", &http, host][..], &["talk", &https, host, certificate]] {
            assert_eq!(wait_for(|| ask("websocket_peer.py", arguments))?, expected, "{arguments:?}");
        }
    }
    Ok(())
}
