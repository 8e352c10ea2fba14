//! Which rule of a host a path belongs to.

use crate::site::{Site, ingress};
use crate::tidegate::Want::{self, From, Status};

crate::scenarios!("paths":
    exact_paths_take_only_themselves,
    prefixes_take_whole_elements,
    a_prefix_with_a_trailing_slash_takes_the_same,
    the_longest_prefix_wins,
    exact_goes_before_prefix,
    an_implementation_specific_path_is_a_prefix,
    several_paths_of_one_rule_lead_to_their_services,
    no_encoding_reaches_a_path_that_the_rules_do_not_give,
    dots_are_resolved_before_the_rules_and_go_upstream_resolved,
    the_target_goes_upstream_as_it_came,
);

/// Serves rules of the host `p.test` and checks what paths under it yield.
async fn table(site: &Site, rules: &[&str], wants: &[(&str, Want<'_>)]) -> anyhow::Result<()> {
    let mut backends = Vec::new();
    let mut names: Vec<_> = rules.iter().filter_map(|rule| rule.split_whitespace().last()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        backends.push(site.service(name, 1).await?);
    }
    let rules: Vec<_> = rules.iter().map(|rule| format!("p.test{rule}")).collect();
    site.apply(&ingress("paths", &rules.iter().map(String::as_str).collect::<Vec<_>>())?).await?;
    let tidegate = site.tidegate(&[]).await?;
    let urls: Vec<_> = wants.iter().map(|(path, want)| (format!("http://p.test{path}"), *want)).collect();
    tidegate.expect_all(&urls.iter().map(|(url, want)| (url.as_str(), *want)).collect::<Vec<_>>()).await
}

async fn exact_paths_take_only_themselves(site: &Site) -> anyhow::Result<()> {
    let rules = ["/foo Exact foo", "/bar/ Exact bar"];
    let wants = [
        ("/foo", From("foo-1")),
        ("/foo?query=/foo/", From("foo-1")),
        ("/bar/", From("bar-1")),
        ("/foo/", Status(404)),
        ("/FOO", Status(404)),
        ("/foobar", Status(404)),
        ("/foo/bar", Status(404)),
        ("/bar", Status(404)),
        ("/", Status(404)),
    ];
    table(site, &rules, &wants).await
}

async fn prefixes_take_whole_elements(site: &Site) -> anyhow::Result<()> {
    let rules = ["/foo Prefix foo", "/aaa/bb Prefix bb"];
    let wants = [
        ("/foo", From("foo-1")),
        ("/foo/", From("foo-1")),
        ("/foo/bar", From("foo-1")),
        ("/foo?a", From("foo-1")),
        ("/aaa/bb", From("bb-1")),
        ("/aaa/bb/ccc", From("bb-1")),
        ("/aaa/bbb", Status(404)),
        ("/aaa", Status(404)),
        ("/FOO", Status(404)),
        ("/foobar", Status(404)),
        ("/", Status(404)),
    ];
    table(site, &rules, &wants).await
}

async fn a_prefix_with_a_trailing_slash_takes_the_same(site: &Site) -> anyhow::Result<()> {
    let rules = ["/foo/ Prefix foo", "/aaa/bbb/ Prefix bbb"];
    let wants = [
        ("/foo", From("foo-1")),
        ("/foo/", From("foo-1")),
        ("/foo/bar", From("foo-1")),
        ("/aaa/bbb", From("bbb-1")),
        ("/aaa/bbb/ccc", From("bbb-1")),
        ("/foobar", Status(404)),
        ("/aaa/bbbxyz", Status(404)),
    ];
    table(site, &rules, &wants).await
}

async fn the_longest_prefix_wins(site: &Site) -> anyhow::Result<()> {
    let rules = ["/ Prefix root", "/aaa/bbb Prefix bbb", "/aaa Prefix aaa"];
    let wants = [
        ("/", From("root-1")),
        ("/ccc", From("root-1")),
        ("/aaax", From("root-1")),
        ("/aaa", From("aaa-1")),
        ("/aaa/ccc", From("aaa-1")),
        ("/aaa/bbbx", From("aaa-1")),
        ("/aaa/bbb", From("bbb-1")),
        ("/aaa/bbb/ccc/ddd", From("bbb-1")),
    ];
    table(site, &rules, &wants).await
}

async fn exact_goes_before_prefix(site: &Site) -> anyhow::Result<()> {
    let rules = ["/foo Prefix prefix", "/foo Exact exact", "/foo/bar/baz Exact deep", "/foo/bar Prefix bar"];
    let wants = [
        ("/foo", From("exact-1")),
        ("/foo/", From("prefix-1")),
        ("/foo/x", From("prefix-1")),
        ("/foo/bar", From("bar-1")),
        ("/foo/bar/baz", From("deep-1")),
        ("/foo/bar/baz/", From("bar-1")),
    ];
    table(site, &rules, &wants).await
}

async fn an_implementation_specific_path_is_a_prefix(site: &Site) -> anyhow::Result<()> {
    let rules = ["/foo ImplementationSpecific foo", "/ ImplementationSpecific root"];
    let wants = [("/foo", From("foo-1")), ("/foo/bar", From("foo-1")), ("/foobar", From("root-1")), ("/", From("root-1"))];
    table(site, &rules, &wants).await
}

async fn several_paths_of_one_rule_lead_to_their_services(site: &Site) -> anyhow::Result<()> {
    let _one = site.service("one", 1).await?;
    let _two = site.service("two", 1).await?;
    site.apply(
        "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: paths}
spec:
  ingressClassName: $CLASS
  rules:
  - host: p.test
    http:
      paths:
      - {path: /one, pathType: Prefix, backend: {service: {name: one, port: {name: http}}}}
      - {path: /two, pathType: Exact, backend: {service: {name: two, port: {number: 80}}}}
  - host: q.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: two, port: {number: 80}}}}
",
    )
    .await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate
        .expect_all(&[
            ("http://p.test/one/x", From("one-1")),
            ("http://p.test/two", From("two-1")),
            ("http://p.test/two/x", Status(404)),
            ("http://q.test/one", From("two-1")),
        ])
        .await
}

async fn no_encoding_reaches_a_path_that_the_rules_do_not_give(site: &Site) -> anyhow::Result<()> {
    let rules = ["/public Prefix public", "/public/admin Prefix admin", "/%40me Prefix me", "/a%20b Exact space"];
    let wants = [
        ("/public/admin", From("admin-1")),
        ("/public/%61dmin", From("admin-1")),
        ("/public//admin", From("admin-1")),
        ("/public/./admin", From("admin-1")),
        ("/public/x/../admin", From("admin-1")),
        ("/public/%2e/admin", From("admin-1")),
        ("/public/x/%2E%2e/admin", From("admin-1")),
        ("/%70ublic/admin", From("admin-1")),
        // An escaped slash separates nothing: this is one element.
        ("/public%2Fadmin", Status(404)),
        ("/@me", From("me-1")),
        ("/%40me/x", From("me-1")),
        ("/a%20b", From("space-1")),
        ("/public/..%2Fadmin", Status(400)),
        ("/public/..%5Cadmin", Status(400)),
        ("/public/..;/admin", Status(400)),
        ("/public/%00", Status(400)),
        ("/public/%zz", Status(400)),
        ("/public/%4", Status(400)),
    ];
    table(site, &rules, &wants).await
}

async fn dots_are_resolved_before_the_rules_and_go_upstream_resolved(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["p.test/app Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    for (target, upstream) in [("/x/../app/a?q=../z", "/app/a?q=../z"), ("/app/./b", "/app/b"), ("/app/c/..", "/app/")] {
        let answer = tidegate.expect(&format!("http://p.test{target}"), From("app-1")).await?;
        anyhow::ensure!(answer.seen()["uri"] == upstream, "{target}: {answer}");
    }
    // Above the root there is nothing.
    tidegate.expect("http://p.test/app/../../etc", Status(400)).await?;
    Ok(())
}

async fn the_target_goes_upstream_as_it_came(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    site.apply(&ingress("app", &["p.test/ Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    for target in ["/a%2Fb", "/a//b", "/%61", "/a?x=%20+&y", "/?", "/a%C3%A9", "/a;b=c", "/a?b?c", "/%7Euser"] {
        let answer = tidegate.expect(&format!("http://p.test{target}"), From("app-1")).await?;
        anyhow::ensure!(answer.seen()["uri"] == target, "{target}: {answer}");
    }
    Ok(())
}
