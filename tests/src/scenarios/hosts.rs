//! Which Ingress a host belongs to.

use crate::site::{Site, ingress};
use crate::tidegate::Want::{From, Status};

crate::scenarios!("hosts":
    an_exact_host_takes_only_itself,
    a_wildcard_takes_exactly_one_label,
    the_more_specific_host_answers_alone,
    case_port_and_a_trailing_dot_do_not_count,
    the_oldest_ingress_keeps_a_path_and_the_next_takes_over,
    two_ingresses_share_a_host,
    https_and_http2_follow_the_same_rules,
);

async fn an_exact_host_takes_only_itself(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["foo.bar.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://foo.bar.test/", From("app-1")),
            ("http://foo.bar.test/deep/er", From("app-1")),
            ("http://wrong.bar.test/", Status(404)),
            ("http://bar.test/", Status(404)),
            ("http://x.foo.bar.test/", Status(404)),
            ("http://foo.bar.test.evil/", Status(404)),
        ])
        .await
}

async fn a_wildcard_takes_exactly_one_label(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["*.foo.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://bar.foo.test/", From("app-1")),
            ("http://x-1.foo.test/a", From("app-1")),
            ("http://baz.bar.foo.test/", Status(404)),
            ("http://foo.test/", Status(404)),
            ("http://barfoo.test/", Status(404)),
        ])
        .await
}

async fn the_more_specific_host_answers_alone(site: &Site) -> anyhow::Result<()> {
    let _exact = site.service("exact", 1).await?;
    let _wild = site.service("wild", 1).await?;
    let _any = site.service("any", 1).await?;
    site.apply(&ingress("any", &["/shared Prefix any", "/only-any Prefix any"])?).await?;
    site.apply(&ingress("wild", &["*.a.test/shared Prefix wild", "*.a.test/only-wild Prefix wild"])?).await?;
    site.apply(&ingress("exact", &["x.a.test/shared Prefix exact"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://x.a.test/shared", From("exact-1")),
            ("http://y.a.test/shared", From("wild-1")),
            ("http://elsewhere.test/shared", From("any-1")),
            ("http://elsewhere.test/only-any", From("any-1")),
            // A host with any rule answers alone: what it leaves falls to nobody else.
            ("http://x.a.test/only-wild", Status(404)),
            ("http://x.a.test/only-any", Status(404)),
            ("http://y.a.test/only-any", Status(404)),
            ("http://y.a.test/only-wild", From("wild-1")),
        ])
        .await
}

async fn case_port_and_a_trailing_dot_do_not_count(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://APP.Test/", From("app-1")),
            ("http://app.test:80/", From("app-1")),
            ("http://app.test:12345/", From("app-1")),
            ("http://app.test./", From("app-1")),
            ("http://aPP.test.:443/", From("app-1")),
        ])
        .await
}

async fn the_oldest_ingress_keeps_a_path_and_the_next_takes_over(site: &Site) -> anyhow::Result<()> {
    let _old = site.service("old", 1).await?;
    let _new = site.service("new", 1).await?;
    let _own = site.service("own", 1).await?;
    // Alphabetically the older one comes last: only its age lets it win.
    site.apply(&ingress("z-old", &["app.test/ Prefix old"])?).await?;
    if !site.is_directory() {
        // The API server's times are whole seconds. A directory has none: there the order of files is the age.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    }
    site.apply(&ingress("a-new", &["app.test/ Prefix new", "app.test/own Prefix own"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://app.test/", From("old-1")), ("http://app.test/own", From("own-1"))]).await?;
    let conflict = tidegate.diagnosed("path_conflict", "a-new").await?;
    anyhow::ensure!(conflict["message"].to_string().contains("z-old"), "the winner is not named: {conflict}");
    site.delete("Ingress", "z-old").await?;
    tidegate.becomes("http://app.test/", From("new-1")).await?;
    tidegate.no_more("path_conflict").await
}

async fn two_ingresses_share_a_host(site: &Site) -> anyhow::Result<()> {
    let _one = site.service("one", 1).await?;
    let _two = site.service("two", 1).await?;
    site.apply(&ingress("one", &["app.test/one Prefix one"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://app.test/one", From("one-1")), ("http://app.test/two", Status(404))]).await?;
    site.apply(&ingress("two", &["app.test/two Prefix two"])?).await?;
    tidegate.becomes("http://app.test/two", From("two-1")).await?;
    tidegate.expect("http://app.test/one", From("one-1")).await?;
    site.delete("Ingress", "one").await?;
    tidegate.becomes("http://app.test/one", Status(404)).await?;
    tidegate.expect("http://app.test/two", From("two-1")).await?;
    Ok(())
}

async fn https_and_http2_follow_the_same_rules(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/app Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    for (url, status) in [
        ("https://app.test/app", 200),
        ("https://app.test/", 404),
        ("https://other.test/app", 404),
        ("http://app.test/app", 200),
        ("http://app.test/", 404),
    ] {
        for answer in [tidegate.get(url).await?, tidegate.get_h2(url).await?] {
            anyhow::ensure!(answer.status == status, "{url}: {answer}");
            anyhow::ensure!(status != 200 || answer.seen()["name"] == "app-1", "{url}: {answer}");
        }
    }
    Ok(())
}
