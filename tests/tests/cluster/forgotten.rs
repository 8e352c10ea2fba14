//! Places in a watch that the API server has forgotten: HTTP status 410.

use anyhow::ensure;
use serde_json::Value;
use tidegate_tests::cluster::{self, User};
use tidegate_tests::load::Load;
use tidegate_tests::relay::Relay;
use tidegate_tests::site::{Site, ingress, slice};
use tidegate_tests::tidegate::Want::{From, Status};
use tidegate_tests::wait;

tidegate_tests::scenarios!("forgotten":;
    alone:
    what_happened_before_the_api_servers_memory_is_caught_up_with,
);

/// The way to the API server is cut, things change, and an API server that has just started knows nothing older than itself.
async fn what_happened_before_the_api_servers_memory_is_caught_up_with(site: &Site) -> anyhow::Result<()> {
    let cluster = site.cluster()?;
    let app = site.service("app", 2).await?;
    let [one, two] = &app[..] else { anyhow::bail!("two backends were started") };
    site.apply(&slice("app", &[(one.address, "ready: true")])).await?;
    for name in ["kept", "changed", "deleted"] {
        site.apply(&ingress(name, &[&format!("{name}.test/ Prefix app")])?).await?;
    }
    let relay = Relay::start(cluster::SERVER).await?;
    let tidegate = site.tidegate_as(User::Tidegate, relay.address, &["--log-level=debug"])?;
    tidegate.ready().await?;
    let load = Load::start(tidegate.http, "kept.test", 100)?;
    ensure!(met(&tidegate).is_empty(), "before anything happened: {:?}", met(&tidegate));
    relay.cut();
    site.apply(&ingress("added", &["added.test/ Prefix app"])?).await?;
    site.apply(&ingress("changed", &["changed.test/new Prefix app"])?).await?;
    site.delete("Ingress", "deleted").await?;
    site.apply(&slice("app", &[(two.address, "ready: true")])).await?;
    // None of it is known, and none of it is missed.
    tidegate
        .expect_all(&[
            ("http://added.test/", Status(404)),
            ("http://deleted.test/", From("app-1")),
            ("http://changed.test/", From("app-1")),
            ("http://kept.test/", From("app-1")),
        ])
        .await?;
    cluster.stop_api_server().await?;
    cluster.start_api_server().await?;
    relay.mend();
    wait::until_ok(async || {
        tidegate
            .expect_all(&[
                ("http://added.test/", From("app-2")),
                ("http://deleted.test/", Status(404)),
                ("http://changed.test/", Status(404)),
                ("http://changed.test/new", From("app-2")),
                ("http://kept.test/", From("app-2")),
            ])
            .await
    })
    .await?;
    // It was by 410, and not by luck.
    let kinds = met(&tidegate);
    for kind in ["Ingress", "EndpointSlice"] {
        ensure!(kinds.iter().any(|known| known == kind), "no 410 for {kind}: {kinds:?}");
    }
    // And the watch that follows the new list tells of what comes.
    site.apply(&ingress("later", &["later.test/ Prefix app"])?).await?;
    tidegate.becomes("http://later.test/", From("app-2")).await?;
    load.end().await.all_good(100)
}

/// Returns the kinds whose watch met a 410, as its log says.
fn met(tidegate: &tidegate_tests::tidegate::Tidegate) -> Vec<String> {
    let lines = tidegate.logged("the API server has forgotten where a watch stood; reading everything anew");
    lines.iter().map(|line: &Value| line["kind"].as_str().unwrap_or_default().to_owned()).collect()
}
