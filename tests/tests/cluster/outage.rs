//! The API server goes away and comes back.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tidegate_tests::load::Load;
use tidegate_tests::site::{Site, ingress};
use tidegate_tests::tidegate::Want::From;
use tidegate_tests::wait;

tidegate_tests::scenarios!("outage":;
    alone:
    the_last_table_serves_while_the_api_server_is_away_and_catches_up_after,
    a_tidegate_that_starts_meanwhile_is_not_ready_until_it_is_back,
);

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(20);

async fn the_last_table_serves_while_the_api_server_is_away_and_catches_up_after(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster()?;
    let _app = site.service("app", 2).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let load = Load::start(tidegate.http, "app.test", 50)?;
    cluster.stop_api_server().await?;
    let gone = Instant::now();
    while gone.elapsed() < AWAY {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tidegate.expect("http://app.test/", From("app-")).await?;
        ensure!(tidegate.is_ready().await, "readiness flipped back after {:?}", gone.elapsed());
    }
    cluster.start_api_server().await?;
    // What changes after it is back is served, of every kind that is watched.
    let _new = site.service("new", 1).await?;
    site.apply(&ingress("new", &["new.test/ Prefix new"])?).await?;
    tidegate.becomes("http://new.test/", From("new-1")).await?;
    load.end().await.all_good(500)
}

async fn a_tidegate_that_starts_meanwhile_is_not_ready_until_it_is_back(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster()?;
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let before = site.tidegate(&[]).await?;
    before.expect("http://app.test/", From("app-1")).await?;
    cluster.stop_api_server().await?;
    before.signal("INT")?;
    before.end().await?;
    let tidegate = site.tidegate_unready(&[])?;
    let begun = Instant::now();
    while begun.elapsed() < AWAY {
        ensure!(!tidegate.is_ready().await, "ready without having seen the cluster");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    cluster.start_api_server().await?;
    tidegate.ready().await?;
    wait::until("readiness", async || Ok(tidegate.is_ready().await.then_some(()))).await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    Ok(())
}
