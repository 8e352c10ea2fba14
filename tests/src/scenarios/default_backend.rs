//! What serves requests that no rule takes.

use crate::site::{Site, ingress};
use crate::tidegate::Want::{From, Status};

crate::scenarios!("default_backend":
    an_ingress_without_rules_serves_every_host_and_path,
    an_ingress_serves_what_its_own_hosts_leave_by_its_default_backend,
    the_flag_serves_what_nobody_takes,
    without_any_the_answer_is_404,
);

const ONLY_DEFAULT: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: rest}
spec: {ingressClassName: $CLASS, defaultBackend: {service: {name: rest, port: {number: 80}}}}
";

async fn an_ingress_without_rules_serves_every_host_and_path(site: &Site) -> anyhow::Result<()> {
    let _rest = site.service("rest", 1).await?;
    site.apply(ONLY_DEFAULT).await?;
    let tidegate = site.tidegate(&[]).await?;
    for method in [http::Method::GET, http::Method::POST, http::Method::PUT, http::Method::DELETE, http::Method::PATCH] {
        let ask = crate::client::Ask { method: method.clone(), ..crate::client::Ask::get("http://any.test/some/path")? };
        let answer = tidegate.send(&ask).await?;
        anyhow::ensure!(answer.seen()["name"] == "rest-1" && answer.seen()["method"] == method.as_str(), "{method}: {answer}");
    }
    tidegate
        .expect_all(&[
            ("http://any.test/", From("rest-1")),
            ("http://deep.sub.any.test/a/b?c", From("rest-1")),
            ("http://127.0.0.1/", From("rest-1")),
            ("http://[::1]:8080/x", From("rest-1")),
        ])
        .await
}

async fn an_ingress_serves_what_its_own_hosts_leave_by_its_default_backend(site: &Site) -> anyhow::Result<()> {
    let _own = site.service("own", 1).await?;
    let _app = site.service("app", 1).await?;
    let _rest = site.service("rest", 1).await?;
    site.apply(&format!(
        "{}  defaultBackend: {{service: {{name: own, port: {{number: 80}}}}}}\n",
        ingress("app", &["app.test/app Prefix app"])?
    ))
    .await?;
    site.apply(&ingress("other", &["other.test/app Prefix app"])?).await?;
    site.apply(ONLY_DEFAULT).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://app.test/app", From("app-1")),
            ("http://app.test/else", From("own-1")),
            // The other Ingress's host is not for this one's default backend.
            ("http://other.test/app", From("app-1")),
            ("http://unknown.test/", From("rest-1")),
        ])
        .await
}

async fn the_flag_serves_what_nobody_takes(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let _last = site.service("last", 1).await?;
    site.apply(&ingress("app", &["app.test/app Prefix app"])?).await?;
    let tidegate = site.tidegate(&["--default-backend=$NS/last:80"]).await?;
    tidegate.expect_all(&[("http://app.test/app", From("app-1")), ("http://unknown.test/", From("last-1"))]).await?;
    // An Ingress that is only a default backend goes before the flag, and gives way when it goes.
    let _rest = site.service("rest", 1).await?;
    site.apply(ONLY_DEFAULT).await?;
    tidegate.becomes("http://unknown.test/", From("rest-1")).await?;
    site.delete("Ingress", "rest").await?;
    tidegate.becomes("http://unknown.test/", From("last-1")).await?;
    Ok(())
}

async fn without_any_the_answer_is_404(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["app.test/app Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[("http://unknown.test/", Status(404)), ("http://app.test/", Status(404)), ("http://app.test/app", From("app-1"))])
        .await
}
