//! Python's own http.client and http.server, and httpx: nothing is held back in either direction, and every version of HTTP is spoken.

use serde_json::json;
use tidegate_tests::backend::Backend;
use tidegate_tests::front::{Front, Route};
use tidegate_tests::python::{Server, ask};

use crate::{ANY, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_before_the_next_is_sent() -> anyhow::Result<()> {
    let server = wait_for(|| Server::start("http_peer.py"))?;
    let front = Front::start(&[Route::plain("app.test", server.address)], &[]).await?;
    let got = wait_for(|| ask("http_peer.py", &["events", &front.tidegate.http.port().to_string(), "app.test"]))?;
    let lines = json!(["data: one", "", "data: two", ""]);
    assert_eq!(got, json!({"type": "text/event-stream", "released_with": 204, "lines": lines}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_comes_back_piece_by_piece_while_it_goes_on() -> anyhow::Result<()> {
    let server = wait_for(|| Server::start("http_peer.py"))?;
    let front = Front::start(&[Route::plain("app.test", server.address)], &[]).await?;
    let got = wait_for(|| ask("http_peer.py", &["duplex", &front.tidegate.http.port().to_string(), "app.test"]))?;
    assert_eq!(got, json!({"echoed": [true, true, true], "rest": ""}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_speaks_every_version_and_a_hundred_requests_on_one_connection() -> anyhow::Result<()> {
    let backend = Backend::start("app", ANY).await?;
    let front = Front::start(&[Route::plain("app.test", backend.address)], &[]).await?;
    let (http, https) = (front.tidegate.http.port().to_string(), front.tidegate.https.port().to_string());
    let certificate = front.certificate();
    let got = wait_for(|| ask("httpx_client.py", &[&http, &https, certificate.to_str().unwrap_or_default()]))?;
    let of = |version: &str| json!({"version": version, "uri": "/a%2Fb?q=%20", "host": "app.test", "uploaded": 300_000, "head": [200, 0]});
    assert_eq!(
        got,
        json!({
            "http/1.1": of("HTTP/1.1"),
            "h2c": of("HTTP/2"),
            "https http/1.1": of("HTTP/1.1"),
            "https h2": of("HTTP/2"),
            "many": true,
        })
    );
    Ok(())
}
