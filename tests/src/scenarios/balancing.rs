//! How requests spread over the endpoints of a Service.

use std::collections::BTreeMap;

use anyhow::ensure;

use crate::site::{Site, ingress};
use crate::tidegate::Tidegate;

crate::scenarios!("balancing":
    a_hundred_requests_reach_ten_endpoints_evenly,
    an_endpoint_that_refuses_connections_costs_no_request,
    a_new_endpoint_takes_its_share_and_one_that_left_takes_nothing,
);

/// Counts which backends answer so many requests, each on a connection of its own, ten at a time.
async fn count(tidegate: &Tidegate, url: &str, requests: usize) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests / 10 {
        let answers = futures_util::future::try_join_all((0..10).map(|_| tidegate.get(url))).await?;
        for answer in answers {
            ensure!(answer.status == 200, "{answer}");
            *counts.entry(answer.seen()["name"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

async fn a_hundred_requests_reach_ten_endpoints_evenly(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 10).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--workers=4"]).await?;
    let counts = count(&tidegate, "http://app.test/", 100).await?;
    ensure!(counts.len() == 10, "not all endpoints were reached: {counts:?}");
    ensure!(counts.values().all(|count| (9..=11).contains(count)), "uneven: {counts:?}");
    Ok(())
}

async fn an_endpoint_that_refuses_connections_costs_no_request(site: &Site) -> anyhow::Result<()> {
    let mut app = site.service("app", 3).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    count(&tidegate, "http://app.test/", 30).await?;
    // It is gone, and its slice does not know yet.
    let gone = app.remove(1);
    let name = gone.name.clone();
    let _refusing = gone.drain_and_refuse().await?;
    let counts = count(&tidegate, "http://app.test/", 60).await?;
    ensure!(counts.len() == 2 && !counts.contains_key(&name), "{counts:?}");
    for _ in 0..6 {
        let answer = tidegate.post("http://app.test/", "body").await?;
        ensure!(answer.status == 200 && answer.seen()["body"]["text"] == "body", "{answer}");
    }
    Ok(())
}

async fn a_new_endpoint_takes_its_share_and_one_that_left_takes_nothing(site: &Site) -> anyhow::Result<()> {
    let app = site.service("app", 2).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let before = count(&tidegate, "http://app.test/", 20).await?;
    ensure!(before.len() == 2, "{before:?}");
    let third = site.backend("app-3").await?;
    let [first, second] = &app[..] else { anyhow::bail!("two backends were started") };
    site.apply(&crate::site::slice("app", &[(second.address, "ready: true"), (third.address, "ready: true")])).await?;
    crate::wait::until_ok(async || {
        let counts = count(&tidegate, "http://app.test/", 20).await?;
        ensure!(counts.contains_key("app-3") && !counts.contains_key(&first.name), "{counts:?}");
        Ok(())
    })
    .await?;
    let after = count(&tidegate, "http://app.test/", 40).await?;
    ensure!(after.len() == 2 && after.values().all(|count| (18..=22).contains(count)), "{after:?}");
    Ok(())
}
