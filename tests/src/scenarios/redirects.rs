//! Answers that send clients elsewhere, and the annotations that ask for them.

use anyhow::ensure;

use crate::site::{Site, ingress};
use crate::tidegate::Want::{From, Redirect, Status};
use crate::tls::TestCertificate;

crate::scenarios!("redirects":
    http_leads_to_https_where_tls_covers_the_host,
    the_port_that_clients_see_is_the_flags,
    a_redirect_can_be_forced_or_switched_off,
    permanent_and_temporal_redirects_go_where_they_say,
    app_root_is_where_the_root_leads,
    www_and_bare_host_lead_to_each_other,
    our_own_name_wins_over_the_old_one,
    a_protection_that_is_not_built_refuses,
    an_unknown_annotation_names_its_neighbour_and_serves,
    a_body_limit_answers_413,
);

/// An Ingress with annotations, written as YAML `NAME: "VALUE"` pairs; `nginx/` and `ours/` stand for the prefixes.
fn annotated(name: &str, rules: &[&str], annotations: &str) -> anyhow::Result<String> {
    let annotations = annotations.replace("nginx/", "nginx.ingress.kubernetes.io/").replace("ours/", "tidegate.dev/");
    Ok(ingress(name, rules)?.replacen(&format!("{{name: {name}}}"), &format!("{{name: {name}, annotations: {{{annotations}}}}}"), 1))
}

async fn http_leads_to_https_where_tls_covers_the_host(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["tls.test"])?;
    site.apply(&certificate.secret("cert")).await?;
    site.apply(&format!(
        "{}  tls: [{{hosts: [tls.test], secretName: cert}}]\n",
        ingress("app", &["tls.test/ Prefix app", "plain.test/ Prefix app"])?
    ))
    .await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://tls.test/", Redirect(308, "https://tls.test:$HTTPS/")),
            ("http://tls.test/a%2Fb/?q=1&r=/", Redirect(308, "https://tls.test:$HTTPS/a%2Fb/?q=1&r=/")),
            ("http://tls.test:8080/a", Redirect(308, "https://tls.test:$HTTPS/a")),
            // Whoever checks a domain comes by http.
            ("http://tls.test/.well-known/acme-challenge/token", From("app-1")),
            ("http://plain.test/", From("app-1")),
            ("https://tls.test/", From("app-1")),
        ])
        .await
}

async fn the_port_that_clients_see_is_the_flags(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["tls.test"])?;
    site.apply(&certificate.secret("cert")).await?;
    site.apply(&format!("{}  tls: [{{hosts: [tls.test], secretName: cert}}]\n", ingress("app", &["tls.test/ Prefix app"])?)).await?;
    let tidegate = site.tidegate(&["--public-http-port=80", "--public-https-port=443"]).await?;
    tidegate.expect("http://tls.test/a", Redirect(308, "https://tls.test/a")).await?;
    let answer = tidegate.expect("https://tls.test/", From("app-1")).await?;
    ensure!(answer.seen().to_string().contains(r#"["x-forwarded-port","443"]"#), "{answer}");
    Ok(())
}

async fn a_redirect_can_be_forced_or_switched_off(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let certificate = TestCertificate::new(&["off.test"])?;
    site.apply(&certificate.secret("cert")).await?;
    let off = annotated("switched-off", &["off.test/ Prefix app"], "nginx/ssl-redirect: \"false\"")?;
    site.apply(&format!("{off}  tls: [{{hosts: [off.test], secretName: cert}}]\n")).await?;
    site.apply(&annotated("forced", &["forced.test/ Prefix app"], "nginx/force-ssl-redirect: \"true\"")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[("http://off.test/", From("app-1")), ("http://forced.test/x", Redirect(308, "https://forced.test:$HTTPS/x"))])
        .await?;
    // And while it serves.
    site.apply(&annotated("forced", &["forced.test/ Prefix app"], "nginx/force-ssl-redirect: \"false\"")?).await?;
    tidegate.becomes("http://forced.test/x", From("app-1")).await?;
    Ok(())
}

async fn permanent_and_temporal_redirects_go_where_they_say(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    for (name, annotations) in [
        ("permanent", "nginx/permanent-redirect: https://new.test/here"),
        ("coded", "nginx/permanent-redirect: https://new.test/here, nginx/permanent-redirect-code: \"308\""),
        ("temporal", "ours/temporal-redirect: https://new.test/soon"),
        ("temporal-coded", "nginx/temporal-redirect: https://new.test/soon, nginx/temporal-redirect-code: \"307\""),
    ] {
        site.apply(&annotated(name, &[&format!("{name}.test/ Prefix app")], annotations)?).await?;
    }
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://permanent.test/a", Redirect(301, "https://new.test/here")),
            ("http://coded.test/a", Redirect(308, "https://new.test/here")),
            ("http://temporal.test/a", Redirect(302, "https://new.test/soon")),
            ("http://temporal-coded.test/a", Redirect(307, "https://new.test/soon")),
        ])
        .await
}

async fn app_root_is_where_the_root_leads(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&annotated("app", &["app.test/ Prefix app"], "nginx/app-root: /login")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let answer = tidegate.get("http://app.test/").await?;
    ensure!(answer.status == 302 && answer.header("location").ends_with("/login"), "{answer}");
    tidegate.expect("http://app.test/login", From("app-1")).await?;
    Ok(())
}

async fn www_and_bare_host_lead_to_each_other(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&annotated("bare", &["bare.test/ Prefix app"], "nginx/from-to-www-redirect: \"true\"")?).await?;
    site.apply(&annotated("www", &["www.other.test/ Prefix app"], "nginx/from-to-www-redirect: \"true\"")?).await?;
    let tidegate = site.tidegate(&["--public-http-port=80"]).await?;
    tidegate
        .expect_all(&[
            ("http://bare.test/", From("app-1")),
            ("http://www.bare.test/a?b", Redirect(308, "http://bare.test/a?b")),
            ("http://www.other.test/", From("app-1")),
            ("http://other.test/a", Redirect(308, "http://www.other.test/a")),
        ])
        .await
}

async fn our_own_name_wins_over_the_old_one(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let annotations = "nginx/temporal-redirect: https://old.test/, ours/temporal-redirect: https://own.test/";
    site.apply(&annotated("app", &["app.test/ Prefix app"], annotations)?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://app.test/", Redirect(302, "https://own.test/")).await?;
    tidegate.diagnosed("conflicting_annotation", "app").await?;
    Ok(())
}

async fn a_protection_that_is_not_built_refuses(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&annotated("guarded", &["guarded.test/ Prefix app"], "nginx/whitelist-source-range: 10.0.0.0/8")?).await?;
    site.apply(&annotated("cors", &["cors.test/ Prefix app"], "nginx/enable-cors: \"true\"")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect_all(&[("http://guarded.test/", Status(503)), ("http://cors.test/", From("app-1"))]).await?;
    for name in ["guarded", "cors"] {
        tidegate.diagnosed("unsupported_annotation", name).await?;
    }
    Ok(())
}

async fn an_unknown_annotation_names_its_neighbour_and_serves(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&annotated("app", &["app.test/ Prefix app"], "nginx/ssl-redirekt: \"true\"")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.expect("http://app.test/", From("app-1")).await?;
    let finding = tidegate.diagnosed("unknown_annotation", "app").await?;
    ensure!(finding.to_string().contains("ssl-redirect"), "{finding}");
    Ok(())
}

async fn a_body_limit_answers_413(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&annotated("app", &["app.test/ Prefix app"], "nginx/proxy-body-size: 1k")?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let small = tidegate.post("http://app.test/", vec![b'x'; 1024]).await?;
    ensure!(small.status == 200 && small.seen()["body"]["bytes"] == 1024, "{small}");
    let large = tidegate.post("http://app.test/", vec![b'x'; 1025]).await?;
    ensure!(large.status == 413, "{large}");
    Ok(())
}
