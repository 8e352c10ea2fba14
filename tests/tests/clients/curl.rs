//! curl, with certificates verified: versions of HTTP and of TLS, expectations, uploads without a length, trailers, and bodies that end
//! with their connection.

use anyhow::Context as _;
use serde_json::Value;
use tidegate_tests::backend::Backend;
use tidegate_tests::binary;
use tidegate_tests::front::{Front, Route};
use tidegate_tests::python::Server;

use crate::{ANY, wait_for};

/// What `--write-out` shows of an answer.
const SHOWN: &str = "\n%{http_version} %{http_code} %{ssl_verify_result}";

/// Asks with curl for a path of `app.test` and returns what it wrote.
fn curl(front: &Front, scheme: &str, path: &str, flags: &[&str]) -> anyhow::Result<String> {
    let address = if scheme == "https" { front.tidegate.https } else { front.tidegate.http };
    let url = format!("{scheme}://app.test:{}{path}", address.port());
    let connect_to = format!("::{}:{}", address.ip(), address.port());
    let certificate = front.certificate();
    let certificate = certificate.to_str().context("UTF-8")?;
    let fixed = ["--noproxy", "*", "--cacert", certificate, "--connect-to", &connect_to];
    wait_for(|| binary::curl(&[&fixed[..], flags, &[&url]].concat()))
}

/// Splits an answer of the echo backend: its picture, and what `--write-out` showed.
fn picture(text: &str) -> anyhow::Result<(Value, &str)> {
    let (picture, shown) = text.rsplit_once('\n').context("nothing shown")?;
    Ok((serde_json::from_str(picture).with_context(|| picture.to_owned())?, shown))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_of_http_and_tls_is_spoken() -> anyhow::Result<()> {
    let backend = Backend::start("app", ANY).await?;
    let front = Front::start(&[Route::plain("app.test", backend.address)], &[]).await?;
    for (scheme, flags, version) in [
        ("http", &["--http1.0"][..], "1"),
        ("http", &["--http1.1"], "1.1"),
        ("http", &["--http2-prior-knowledge"], "2"),
        // It asks to upgrade to HTTP/2, and is answered in HTTP/1.1 (RFC 9113 §3.1).
        ("http", &["--http2"], "1.1"),
        ("https", &["--http1.1", "--tlsv1.2", "--tls-max", "1.2"], "1.1"),
        ("https", &["--http1.1", "--tlsv1.3"], "1.1"),
        ("https", &["--http2", "--tlsv1.2", "--tls-max", "1.2"], "2"),
        ("https", &["--http2", "--tlsv1.3"], "2"),
    ] {
        let text = curl(&front, scheme, "/a?q=1", &[flags, &["--write-out", SHOWN]].concat())?;
        let (seen, shown) = picture(&text)?;
        assert_eq!(shown, format!("{version} 200 0"), "{scheme} {flags:?}");
        assert_eq!((seen["name"].as_str(), seen["uri"].as_str()), (Some("app"), Some("/a?q=1")), "{seen}");
        let proto = seen["headers"].as_array().into_iter().flatten().find(|field| field[0] == "x-forwarded-proto");
        assert_eq!(proto.and_then(|field| field[1].as_str()), Some(scheme), "{seen}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_version_that_is_out_of_date_is_refused() -> anyhow::Result<()> {
    let backend = Backend::start("app", ANY).await?;
    let front = Front::start(&[Route::plain("app.test", backend.address)], &[]).await?;
    // Distributions forbid it to clients, too; this level lets curl offer it.
    let old = ["--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0"];
    let error = curl(&front, "https", "/", &old).err().context("TLS 1.1 was spoken")?.to_string();
    assert!(error.contains("alert") || error.contains("handshake"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expectation_is_met_before_the_body_is_sent() -> anyhow::Result<()> {
    let backend = Backend::start("app", ANY).await?;
    let front = Front::start(&[Route::plain("app.test", backend.address)], &[]).await?;
    // Without an answer of 100, curl would wait for so long that this test fails.
    let flags = ["--http1.1", "--include", "--expect100-timeout", "60", "--header", "Expect: 100-continue", "--data", "hello"];
    let text = curl(&front, "http", "/?reflect=1", &flags)?;
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_without_a_length_arrives_whole() -> anyhow::Result<()> {
    let backend = Backend::start("app", ANY).await?;
    let front = Front::start(&[Route::plain("app.test", backend.address)], &[]).await?;
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("upload");
    std::fs::write(&file, "0123456789".repeat(300_000))?;
    let file = file.to_str().context("UTF-8")?;
    for (scheme, version) in [("http", "--http1.1"), ("http", "--http2-prior-knowledge"), ("https", "--http2")] {
        let flags = [version, "--upload-file", file, "--header", "Transfer-Encoding: chunked", "--header", "Expect:", "--write-out", SHOWN];
        let text = curl(&front, scheme, "/", &flags)?;
        let (seen, _) = picture(&text)?;
        assert_eq!((seen["method"].as_str(), seen["body"]["bytes"].as_u64()), (Some("PUT"), Some(3_000_000)), "{version}: {seen}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_and_bodies_of_unknown_length_pass() -> anyhow::Result<()> {
    let server = wait_for(|| Server::start("http_peer.py"))?;
    let front = Front::start(&[Route::plain("app.test", server.address)], &[]).await?;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let text = curl(&front, "http", "/trailers", &[version, "--include", "--header", "TE: trailers"])?.to_ascii_lowercase();
        let (head, rest) = text.split_once("\r\n\r\n").context("no head")?;
        assert!(head.contains("trailer: x-sum"), "{version}: {text}");
        // curl shows trailers where headers are shown, before or behind the body.
        assert!(rest.contains("body\n") && rest.contains("x-sum: 7"), "{version}: {text}");
        assert_eq!(curl(&front, "http", "/until-close", &[version])?, "until the end", "{version}");
    }
    Ok(())
}
