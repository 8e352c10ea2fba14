//! The API server is there and does not answer.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tidegate::Want::From;
use tidegate_tests::wait;

tidegate_tests::scenarios!("slow":;
    alone:
    an_api_server_that_stands_still_costs_nothing_served_and_never_makes_two_leaders,
);

/// How long it stands still: longer than a Lease lasts.
const STILL: Duration = Duration::from_secs(20);

/// What a log says of leadership, and when it ended or began.
fn leadership(log: &str) -> anyhow::Result<Vec<(String, bool)>> {
    let mut changes = Vec::new();
    for line in log.lines().filter(|line| line.contains("leadership changed")) {
        let line: Value = serde_json::from_str(line)?;
        changes.push((line["timestamp"].as_str().unwrap_or_default().to_owned(), line["leads"] == true));
    }
    Ok(changes)
}

async fn an_api_server_that_stands_still_costs_nothing_served_and_never_makes_two_leaders(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster()?;
    let _app = site.service("app", 2).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let one = site.tidegate(&[]).await?;
    wait::until("a leader", async || Ok(leadership(&one.log())?.last().is_some_and(|(_, leads)| *leads).then_some(()))).await?;
    let two = site.tidegate(&[]).await?;
    cluster.pause_api_server("STOP").await?;
    let still = Instant::now();
    while still.elapsed() < STILL {
        for tidegate in [&one, &two] {
            tidegate.expect("http://app.test/", From("app-")).await?;
            ensure!(tidegate.is_ready().await, "readiness flipped back after {:?}", still.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let during = leadership(&one.log())?;
    ensure!(during.last().is_some_and(|(_, leads)| !leads), "it still leads by a Lease that has run out: {during:?}");
    cluster.pause_api_server("CONT").await?;
    let _new = site.service("new", 1).await?;
    site.apply(&ingress("new", &["new.test/ Prefix new"])?).await?;
    for tidegate in [&one, &two] {
        tidegate.becomes("http://new.test/", From("new-1")).await?;
    }
    let all = async || Ok::<_, anyhow::Error>([leadership(&one.log())?, leadership(&two.log())?].concat());
    // Somebody leads again, and whoever does began after the one before had ended.
    let mut changes = wait::until("a leader", async || {
        let changes = all().await?;
        let (began, ended) = (changes.iter().filter(|(_, leads)| *leads).count(), changes.iter().filter(|(_, leads)| !leads).count());
        Ok((began > ended).then_some(changes))
    })
    .await?;
    changes.sort();
    let in_turn = changes.iter().enumerate().all(|(at, (_, leads))| *leads == (at % 2 == 0));
    ensure!(in_turn, "two led at once: {changes:?}");
    Ok(())
}
