//! Which certificate a client is shown, whatever happens to Secrets.

use anyhow::{Context as _, ensure};

use crate::client::{self, Answer};
use crate::site::{Site, ingress};
use crate::tidegate::Tidegate;
use crate::tidegate::Want::{From, Redirect};
use crate::tls::{TestCertificate, client_config, secret};
use crate::wait;

crate::scenarios!("tls":
    each_host_shows_its_own_certificate,
    the_secrets_own_names_count_where_hosts_are_empty,
    a_secret_may_come_after_its_ingress,
    a_rotated_secret_serves_new_handshakes_and_leaves_connections_alone,
    a_broken_secret_keeps_the_last_good_certificate,
    a_deleted_secret_keeps_the_last_good_certificate_while_an_ingress_names_it,
    a_secret_that_was_never_good_shows_the_default_certificate,
    the_default_certificate_comes_from_the_flag,
    a_certificate_that_does_not_cover_its_host_is_a_warning,
    http2_and_http1_are_offered,
    no_key_is_ever_told,
);

/// An Ingress of one host under TLS, with the Secret `cert`, and without the redirect from http.
fn tls_ingress(name: &str, host: &str, secret: &str) -> anyhow::Result<String> {
    let text = ingress(name, &[&format!("{host}/ Prefix app")])?;
    let annotations = "annotations: {nginx.ingress.kubernetes.io/ssl-redirect: \"false\"}";
    let text = text.replacen(&format!("{{name: {name}}}"), &format!("{{name: {name}, {annotations}}}"), 1);
    Ok(format!("{text}  tls: [{{hosts: [\"{host}\"], secretName: {secret}}}]\n"))
}

fn shows(answer: &Answer, certificate: &TestCertificate) -> anyhow::Result<()> {
    ensure!(answer.certificate.as_ref() == Some(&certificate.der), "another certificate was shown; {answer}");
    Ok(())
}

/// Waits until new handshakes for the URL show this certificate.
async fn comes_to_show(tidegate: &Tidegate, url: &str, certificate: &TestCertificate) -> anyhow::Result<()> {
    wait::until_ok(async || shows(&tidegate.expect(url, From("app-1")).await?, certificate)).await
}

async fn each_host_shows_its_own_certificate(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let (one, wild) = (TestCertificate::new(&["one.test"])?, TestCertificate::new(&["*.wild.test"])?);
    site.apply(&one.secret("one")).await?;
    site.apply(&wild.secret("wild")).await?;
    site.apply(&tls_ingress("one", "one.test", "one")?).await?;
    site.apply(&tls_ingress("wild", "*.wild.test", "wild")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    shows(&tidegate.expect("https://one.test/", From("app-1")).await?, &one)?;
    shows(&tidegate.expect("https://x.wild.test/", From("app-1")).await?, &wild)?;
    let other = tidegate.get("https://unknown.test/").await?;
    ensure!(other.status == 404 && shows(&other, &one).is_err() && shows(&other, &wild).is_err(), "{other}");
    // Plain http is served, too, once the redirect is off.
    tidegate.expect("http://one.test/", From("app-1")).await?;
    Ok(())
}

async fn the_secrets_own_names_count_where_hosts_are_empty(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["a.test", "*.b.test"])?;
    site.apply(&certificate.secret("cert")).await?;
    site.apply(&format!("{}  tls: [{{secretName: cert}}]\n", ingress("app", &["a.test/ Prefix app", "x.b.test/ Prefix app"])?)).await?;
    let tidegate = site.tidegate(&[]).await?;
    shows(&tidegate.expect("https://a.test/", From("app-1")).await?, &certificate)?;
    shows(&tidegate.expect("https://x.b.test/", From("app-1")).await?, &certificate)
}

async fn a_secret_may_come_after_its_ingress(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["one.test"])?;
    site.apply(&tls_ingress("one", "one.test", "cert")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let before = tidegate.expect("https://one.test/", From("app-1")).await?;
    ensure!(before.certificate.is_some() && shows(&before, &certificate).is_err(), "not the default certificate");
    tidegate.diagnosed("missing_secret", "one").await?;
    site.apply(&certificate.secret("cert")).await?;
    comes_to_show(&tidegate, "https://one.test/", &certificate).await?;
    tidegate.no_more("missing_secret").await
}

async fn a_rotated_secret_serves_new_handshakes_and_leaves_connections_alone(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let (old, new) = (TestCertificate::new(&["one.test"])?, TestCertificate::new(&["one.test"])?);
    site.apply(&old.secret("cert")).await?;
    site.apply(&tls_ingress("one", "one.test", "cert")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let config = client_config(&["http/1.1"])?;
    let stream = client::handshake(client::connect(tidegate.https).await?, "one.test", &config).await?;
    ensure!(client::shown(&stream).as_ref() == Some(&old.der), "the old certificate was not shown");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    let mut ask = async || -> anyhow::Result<u16> {
        let request = http::Request::get("/").header("host", "one.test").body(http_body_util::Empty::<bytes::Bytes>::new())?;
        sender.ready().await.context("the connection was closed")?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        http_body_util::BodyExt::collect(response.into_body()).await?;
        Ok(status)
    };
    ensure!(ask().await? == 200, "before");
    site.apply(&new.secret("cert")).await?;
    comes_to_show(&tidegate, "https://one.test/", &new).await?;
    ensure!(ask().await? == 200, "the connection from before the rotation");
    Ok(())
}

async fn a_broken_secret_keeps_the_last_good_certificate(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let (good, other) = (TestCertificate::new(&["one.test"])?, TestCertificate::new(&["one.test"])?);
    site.apply(&good.secret("cert")).await?;
    site.apply(&tls_ingress("one", "one.test", "cert")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    // The key of another certificate; no PEM at all; half a file.
    let half: String = good.certificate.chars().take(200).collect();
    for (certificate, key) in [(&good.certificate, &other.key), (&"nonsense".to_owned(), &good.key), (&half, &good.key)] {
        site.apply(&secret("cert", certificate, key)).await?;
        tidegate.diagnosed("invalid_secret", "one").await?;
        shows(&tidegate.expect("https://one.test/", From("app-1")).await?, &good)?;
        site.apply(&good.secret("cert")).await?;
        tidegate.no_more("invalid_secret").await?;
    }
    site.apply(&other.secret("cert")).await?;
    comes_to_show(&tidegate, "https://one.test/", &other).await
}

async fn a_deleted_secret_keeps_the_last_good_certificate_while_an_ingress_names_it(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let good = TestCertificate::new(&["one.test"])?;
    site.apply(&good.secret("cert")).await?;
    site.apply(&tls_ingress("one", "one.test", "cert")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    shows(&tidegate.expect("https://one.test/", From("app-1")).await?, &good)?;
    site.delete("Secret", "cert").await?;
    tidegate.diagnosed("missing_secret", "one").await?;
    shows(&tidegate.expect("https://one.test/", From("app-1")).await?, &good)?;
    // Host gone, certificate gone.
    site.delete("Ingress", "one").await?;
    wait::until_ok(async || {
        let answer = tidegate.get("https://one.test/").await?;
        ensure!(answer.status == 404 && shows(&answer, &good).is_err(), "{answer}");
        Ok(())
    })
    .await
}

async fn a_secret_that_was_never_good_shows_the_default_certificate(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&secret("cert", "nonsense", "nonsense")).await?;
    site.apply(&tls_ingress("one", "one.test", "cert")?).await?;
    site.apply(&ingress("plain", &["plain.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.diagnosed("invalid_secret", "one").await?;
    let broken = tidegate.expect("https://one.test/", From("app-1")).await?;
    let plain = tidegate.expect("https://plain.test/", From("app-1")).await?;
    ensure!(broken.certificate.is_some() && broken.certificate == plain.certificate, "not the default certificate");
    Ok(())
}

async fn the_default_certificate_comes_from_the_flag(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let (default, next) = (TestCertificate::new(&["default.test"])?, TestCertificate::new(&["default.test"])?);
    site.apply(&default.secret("default-cert")).await?;
    site.apply(&ingress("plain", &["plain.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--default-certificate=$NS/default-cert"]).await?;
    shows(&tidegate.expect("https://plain.test/", From("app-1")).await?, &default)?;
    site.apply(&next.secret("default-cert")).await?;
    comes_to_show(&tidegate, "https://plain.test/", &next).await
}

async fn a_certificate_that_does_not_cover_its_host_is_a_warning(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let other = TestCertificate::new(&["other.test"])?;
    site.apply(&other.secret("cert")).await?;
    site.apply(&tls_ingress("one", "one.test", "cert")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let finding = tidegate.diagnosed("certificate_name_mismatch", "one").await?;
    ensure!(finding.to_string().contains("one.test"), "{finding}");
    shows(&tidegate.expect("https://one.test/", From("app-1")).await?, &other)
}

async fn http2_and_http1_are_offered(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["one.test"])?;
    site.apply(&certificate.secret("cert")).await?;
    site.apply(&format!("{}  tls: [{{hosts: [one.test], secretName: cert}}]\n", ingress("one", &["one.test/ Prefix app"])?)).await?;
    let tidegate = site.tidegate(&[]).await?;
    for (offered, chosen) in [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)] {
        let stream = client::handshake(client::connect(tidegate.https).await?, "one.test", &client_config(offered)?).await?;
        ensure!(stream.get_ref().1.alpn_protocol() == chosen, "{offered:?}");
    }
    let answer = tidegate.get_h2("https://one.test/").await?;
    ensure!(answer.status == 200 && answer.version == http::Version::HTTP_2, "{answer}");
    // TLS covers the host: http leads there.
    tidegate.expect("http://one.test/a?b", Redirect(308, "https://one.test:$HTTPS/a?b")).await?;
    Ok(())
}

async fn no_key_is_ever_told(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let good = TestCertificate::new(&["one.test"])?;
    site.apply(&good.secret("good")).await?;
    // Certificate and key swapped: the key stands where something public is read.
    site.apply(&secret("swapped", &good.key, &good.certificate)).await?;
    site.apply(&tls_ingress("one", "one.test", "good")?).await?;
    site.apply(&tls_ingress("two", "two.test", "swapped")?).await?;
    let tidegate = site.tidegate(&["--log-level=trace"]).await?;
    tidegate.diagnosed("invalid_secret", "two").await?;
    let page = tidegate.admin("/certificates").await?.to_string() + &tidegate.admin("/diagnostics").await?.to_string();
    let log = tidegate.log();
    // A line from the middle of the PEM text: base64 that nothing else contains.
    let secret_line = good.key.lines().nth(1).context("a PEM key has lines")?.trim();
    let binary_key = serde_json::to_string(&good.key)?;
    for text in [&page, &log] {
        ensure!(!text.contains(secret_line) && !text.contains(binary_key.trim_matches('"')), "a private key is told");
    }
    ensure!(page.contains("one.test"), "the page says nothing of certificates: {page}");
    Ok(())
}
