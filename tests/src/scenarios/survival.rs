//! One object never hurts another, and a bad version of an object never hurts the good one before it.

use anyhow::ensure;

use crate::site::{Site, ingress};
use crate::tidegate::Want::{From, Status};

crate::scenarios!("survival":
    a_bad_path_costs_itself,
    a_bad_version_leaves_the_good_one_whole,
    many_bad_objects_leave_the_good_ones_alone,
    a_bad_value_of_an_annotation_leaves_the_good_version,
    deleted_objects_stop_serving_and_others_go_on,
);

/// The path is one that the API server lets through.
const BAD_PATH: &str = "/%zz";

async fn a_bad_path_costs_itself(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let rule = format!("app.test{BAD_PATH} ImplementationSpecific app");
    site.apply(&ingress("app", &[&rule, "app.test/fine Prefix app"])?).await?;
    site.apply(&ingress("other", &["other.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://app.test/fine", From("app-1")),
            ("http://app.test/else", Status(404)),
            ("http://other.test/", From("app-1")),
        ])
        .await?;
    let finding = tidegate.diagnosed("invalid_path", "app").await?;
    ensure!(finding.to_string().contains(BAD_PATH), "the path is not named: {finding}");
    Ok(())
}

async fn a_bad_version_leaves_the_good_one_whole(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let good = ingress("app", &["old.test/ Prefix app"])?;
    site.apply(&good).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://old.test/", From("app-1")).await?;
    let rule = format!("new.test{BAD_PATH} ImplementationSpecific app");
    site.apply(&ingress("app", &["new.test/ Prefix app", &rule])?).await?;
    tidegate.diagnosed("invalid_path", "app").await?;
    // Never a mixture of old and new.
    tidegate.expect_all(&[("http://old.test/", From("app-1")), ("http://new.test/", Status(404))]).await?;
    site.apply(&ingress("app", &["new.test/ Prefix app"])?).await?;
    tidegate.becomes("http://new.test/", From("app-1")).await?;
    tidegate.expect("http://old.test/", Status(404)).await?;
    tidegate.no_more("invalid_path").await
}

async fn many_bad_objects_leave_the_good_ones_alone(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("good", &["good.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://good.test/", From("app-1")).await?;
    let annotation = "nginx.ingress.kubernetes.io/";
    let bad = [
        ("path", ingress("path", &["path.test/( ImplementationSpecific app", &format!("path.test{BAD_PATH} ImplementationSpecific app")])?),
        ("service", ingress("service", &["service.test/ Prefix nowhere"])?),
        ("tls", format!("{}  tls: [{{hosts: [tls.test], secretName: nonsense}}]\n", ingress("tls", &["tls.test/ Prefix app"])?)),
        (
            "notes",
            ingress("notes", &["notes.test/ Prefix app"])?.replacen(
                "{name: notes}",
                &format!("{{name: notes, annotations: {{{annotation}proxy-body-size: lots, {annotation}permanent-redirect-code: x}}}}"),
                1,
            ),
        ),
    ];
    site.apply(&crate::tls::secret("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no key")).await?;
    for (_, text) in &bad {
        site.apply(text).await?;
    }
    for (code, name) in
        [("invalid_path", "path"), ("missing_service", "service"), ("invalid_secret", "tls"), ("invalid_annotation", "notes")]
    {
        tidegate.diagnosed(code, name).await?;
    }
    tidegate.expect("http://good.test/", From("app-1")).await?;
    // What comes after the bad ones is served as well.
    site.apply(&ingress("later", &["later.test/ Prefix app"])?).await?;
    tidegate.becomes("http://later.test/", From("app-1")).await?;
    for (name, _) in &bad {
        site.delete("Ingress", name).await?;
    }
    tidegate.no_more("invalid_path").await?;
    tidegate.no_more("missing_service").await?;
    tidegate.expect("http://good.test/", From("app-1")).await?;
    Ok(())
}

async fn a_bad_value_of_an_annotation_leaves_the_good_version(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["old.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://old.test/", From("app-1")).await?;
    let bad = "{name: app, annotations: {nginx.ingress.kubernetes.io/from-to-www-redirect: perhaps}}";
    site.apply(&ingress("app", &["new.test/ Prefix app"])?.replacen("{name: app}", bad, 1)).await?;
    tidegate.diagnosed("invalid_annotation", "app").await?;
    tidegate.expect_all(&[("http://old.test/", From("app-1")), ("http://new.test/", Status(404))]).await
}

async fn deleted_objects_stop_serving_and_others_go_on(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    for name in ["one", "two", "three"] {
        site.apply(&ingress(name, &[&format!("{name}.test/ Prefix app")])?).await?;
    }
    let tidegate = site.tidegate(&[]).await?;
    site.delete("Ingress", "two").await?;
    tidegate.becomes("http://two.test/", Status(404)).await?;
    tidegate.expect_all(&[("http://one.test/", From("app-1")), ("http://three.test/", From("app-1"))]).await
}
