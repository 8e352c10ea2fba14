//! Changes under load, of which not one request may know.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tidegate_tests::load::{Load, requests_per_second, setting};
use tidegate_tests::object;
use tidegate_tests::site::{Site, ingress, slice};
use tidegate_tests::tidegate::Want::From;
use tidegate_tests::tls::{TestCertificate, client_config};
use tidegate_tests::{client, wait};

tidegate_tests::scenarios!("load":;
    alone:
    two_hundred_ingress_changes_in_a_minute_fail_no_request,
    a_rolling_update_of_the_backends_fails_no_request,
    rotating_certificates_fails_no_handshake,
);

/// `TIDEGATE_TEST_LOAD_SECONDS` scales the time and the changes alike.
async fn two_hundred_ingress_changes_in_a_minute_fail_no_request(site: &Site) -> anyhow::Result<()> {
    let (rate, seconds) = (requests_per_second()?, setting("TIDEGATE_TEST_LOAD_SECONDS", 60)?);
    let changes = 200 * seconds / 60;
    let _app = site.service("app", 3).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--access-log=off"]).await?;
    let load = Load::start(tidegate.http, "app.test", rate)?;
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(u64::from(seconds)) / changes);
    for change in 0..changes {
        ticks.tick().await;
        let host = change % 20;
        match change % 4 {
            // A new host, or a new version of one.
            0 | 1 => site.apply(&ingress(&format!("other{host}"), &[&format!("other{host}.test/v{change} Prefix app")])?).await?,
            // The very Ingress that the load asks for gets another path beside its own.
            2 => site.apply(&ingress("app", &["app.test/ Prefix app", &format!("app.test/v{change} Prefix app")])?).await?,
            // One goes; perhaps it went already.
            _ => drop(site.delete("Ingress", &format!("other{}", (change - 3) % 20)).await),
        }
    }
    let last = "app.test/last Prefix app".to_owned();
    site.apply(&ingress("last", &[&last])?).await?;
    tidegate.becomes("http://app.test/last", From("app-")).await?;
    ensure!(begun.elapsed() < Duration::from_secs(u64::from(seconds) * 2), "the changes took {:?}", begun.elapsed());
    load.end().await.all_good(u64::from(rate * seconds) * 9 / 10)
}

/// As Kubernetes does it: a new Pod becomes ready, an old one leaves the slice (first as terminating), drains, and closes.
async fn a_rolling_update_of_the_backends_fails_no_request(site: &Site) -> anyhow::Result<()> {
    let rate = requests_per_second()?;
    let mut old = site.service("app", 4).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--access-log=off"]).await?;
    let load = Load::start(tidegate.http, "app.test", rate)?;
    let mut new = Vec::new();
    let ready = |backends: &[tidegate_tests::backend::Backend]| -> Vec<_> {
        backends.iter().map(|backend| (backend.address, "ready: true")).collect()
    };
    for number in 1..=4 {
        new.push(site.backend(&format!("new-{number}")).await?);
        site.apply(&slice("app", &[ready(&old), ready(&new)].concat())).await?;
        tidegate.becomes("http://app.test/", From(&format!("new-{number}"))).await?;
        let leaving = old.remove(0);
        let terminating = [(leaving.address, "ready: false, serving: true, terminating: true")];
        site.apply(&slice("app", &[ready(&old), ready(&new), terminating.to_vec()].concat())).await?;
        not_reached(&tidegate, &leaving.name).await?;
        site.apply(&slice("app", &[ready(&old), ready(&new)].concat())).await?;
        leaving.drain().await?;
        let before = load.good();
        wait::until("a second of load", async || Ok((load.good() > before + u64::from(rate)).then_some(()))).await?;
    }
    tidegate.expect("http://app.test/", From("new-")).await?;
    load.end().await.all_good(u64::from(rate) * 4)
}

/// Waits until twelve requests in a row go elsewhere.
async fn not_reached(tidegate: &tidegate_tests::tidegate::Tidegate, name: &str) -> anyhow::Result<()> {
    wait::until_ok(async || {
        for _ in 0..12 {
            let answer = tidegate.get("http://app.test/").await?;
            ensure!(answer.status == 200 && answer.seen()["name"] != name, "{answer}");
        }
        Ok(())
    })
    .await
}

async fn rotating_certificates_fails_no_handshake(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let mut shown = Vec::new();
    let first = TestCertificate::new(&["app.test"])?;
    site.apply(&first.secret("cert")).await?;
    site.apply(&format!("{}  tls: [{{hosts: [app.test], secretName: cert}}]\n", ingress("app", &["app.test/ Prefix app"])?)).await?;
    let tidegate = site.tidegate(&["--access-log=off"]).await?;
    shown.push(first);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (address, stopped) = (tidegate.https, stopped.clone());
        clients.spawn(async move {
            let config = client_config(&["h2", "http/1.1"])?;
            let mut seen = Vec::new();
            while !*stopped.borrow() {
                // One configuration: later handshakes of a client resume.
                let stream = client::handshake(client::connect(address).await?, "app.test", &config).await?;
                seen.extend(client::shown(&stream));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(seen)
        });
    }
    for _ in 0..20 {
        let next = TestCertificate::new(&["app.test"])?;
        site.apply(&next.secret("cert")).await?;
        wait::until_ok(async || {
            let answer = tidegate.get("https://app.test/").await?;
            ensure!(answer.certificate.as_ref() == Some(&next.der), "the new certificate is not shown yet");
            Ok(())
        })
        .await?;
        shown.push(next);
    }
    stop.send_replace(true);
    let mut handshakes = 0;
    while let Some(ended) = clients.join_next().await {
        let seen = ended?.context("a handshake failed")?;
        ensure!(seen.iter().all(|certificate| shown.iter().any(|known| known.der == *certificate)), "a certificate that nobody made");
        handshakes += seen.len();
    }
    ensure!(handshakes >= 40, "only {handshakes} handshakes");
    // The Secret stays what it was last: nothing rolled back.
    object::get(&site.cluster()?.client(), &site.namespace, "Secret", "cert").await?;
    Ok(())
}
