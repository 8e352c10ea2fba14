//! Services of type ExternalName: a DNS name instead of endpoints, chosen by whoever may write the Service.

use std::net::IpAddr;

use anyhow::ensure;

use crate::backend::Backend;
use crate::dns;
use crate::site::{BACKEND_PORT, Site, ingress};
use crate::tidegate::Want::{From, Status};
use crate::wait;

crate::scenarios!("external_names":
    a_name_is_resolved_and_followed_when_its_time_is_over,
    addresses_of_both_families_are_used,
    a_name_that_must_not_be_reached_is_refused,
    a_name_that_does_not_resolve_costs_its_own_path_until_it_does,
    the_last_addresses_stay_while_dns_fails,
    the_flag_refuses_all_of_them,
);

/// The name that the site's Service is an alias of.
fn name(site: &Site) -> String {
    site.fill("ext.$CLASS.test")
}

/// Makes the Service `ext`, and an Ingress that serves it on `ext.test`.
async fn alias(site: &Site, name: &str) -> anyhow::Result<()> {
    site.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: ext}}\n\
         spec: {{type: ExternalName, externalName: {name}, ports: [{{name: http, port: 80, targetPort: {BACKEND_PORT}}}]}}\n"
    ))
    .await?;
    site.apply(&ingress("ext", &["ext.test/ Prefix ext"])?).await
}

async fn a_name_is_resolved_and_followed_when_its_time_is_over(site: &Site) -> anyhow::Result<()> {
    let one = Backend::start("one", site.routable(101, BACKEND_PORT)).await?;
    let two = Backend::start("two", site.routable(102, BACKEND_PORT)).await?;
    dns::answer(&name(site), &[one.address.ip()], 1);
    alias(site, &name(site)).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.becomes("http://ext.test/", From("one")).await?;
    dns::answer(&name(site), &[two.address.ip()], 1);
    let answer = tidegate.becomes("http://ext.test/", From("two")).await?;
    // The backend is asked for the host that the client asked for.
    ensure!(answer.seen()["host"] == "ext.test", "{answer}");
    Ok(())
}

async fn addresses_of_both_families_are_used(site: &Site) -> anyhow::Result<()> {
    let four = Backend::start("four", site.routable(101, BACKEND_PORT)).await?;
    let six = Backend::start("six", site.address_v6(101, BACKEND_PORT)).await?;
    dns::answer(&name(site), &[six.address.ip()], 1);
    alias(site, &name(site)).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.becomes("http://ext.test/", From("six")).await?;
    dns::answer(&name(site), &[four.address.ip(), six.address.ip()], 300);
    tidegate.becomes("http://ext.test/", From("four")).await?;
    let mut of_six = 0;
    for _ in 0..20 {
        let answer = tidegate.get("http://ext.test/").await?;
        ensure!(answer.status == 200, "{answer}");
        of_six += usize::from(answer.seen()["name"] == "six");
    }
    ensure!((9..=11).contains(&of_six), "the IPv6 address took {of_six} of 20 requests");
    Ok(())
}

async fn a_name_that_must_not_be_reached_is_refused(site: &Site) -> anyhow::Result<()> {
    let allowed = Backend::start("allowed", site.routable(101, BACKEND_PORT)).await?;
    // Whoever reached these would answer: it is not for want of a listener that they are not.
    let _loopback = Backend::start("loopback", site.loopback(101, BACKEND_PORT)).await?;
    dns::answer(&name(site), &[site.loopback(101, BACKEND_PORT).ip()], 1);
    alias(site, &name(site)).await?;
    let tidegate = site.tidegate(&[]).await?;
    let refused: [IpAddr; 5] = [
        site.loopback(101, BACKEND_PORT).ip(),
        IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        IpAddr::from([169, 254, 169, 254]),
        IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]),
        IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]),
    ];
    for address in refused {
        dns::answer(&name(site), &[address], 1);
        wait::until_ok(async || {
            let finding = tidegate.diagnosed("refused_external_name", "ext").await?;
            let shown = address.to_canonical().to_string();
            ensure!(finding["message"].as_str().is_some_and(|message| message.contains(&shown)), "{shown} is not named: {finding}");
            Ok(())
        })
        .await?;
        tidegate.expect("http://ext.test/", Status(503)).await?;
    }
    // Beside one that may be reached they are left out, which is told.
    dns::answer(&name(site), &[refused[0], allowed.address.ip()], 1);
    tidegate.becomes("http://ext.test/", From("allowed")).await?;
    for _ in 0..4 {
        tidegate.expect("http://ext.test/", From("allowed")).await?;
    }
    let finding = tidegate.diagnosed("refused_external_name", "ext").await?;
    ensure!(finding["message"].as_str().is_some_and(|message| message.ends_with("its other addresses are used")), "{finding}");
    dns::answer(&name(site), &[allowed.address.ip()], 1);
    tidegate.no_more("refused_external_name").await?;
    // The machine's own name is not even asked for.
    alias(site, "localhost").await?;
    tidegate.becomes("http://ext.test/", Status(503)).await?;
    tidegate.diagnosed("refused_external_name", "ext").await?;
    Ok(())
}

async fn a_name_that_does_not_resolve_costs_its_own_path_until_it_does(site: &Site) -> anyhow::Result<()> {
    let _app = site.service("app", 1).await?;
    let late = Backend::start("late", site.routable(101, BACKEND_PORT)).await?;
    alias(site, &name(site)).await?;
    site.apply(&ingress("app", &["ext.test/app Prefix app"])?).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.diagnosed("unresolved_external_name", "ext").await?;
    tidegate.expect_all(&[("http://ext.test/", Status(503)), ("http://ext.test/app", From("app-1"))]).await?;
    dns::answer(&name(site), &[late.address.ip()], 1);
    tidegate.becomes("http://ext.test/", From("late")).await?;
    tidegate.no_more("unresolved_external_name").await
}

async fn the_last_addresses_stay_while_dns_fails(site: &Site) -> anyhow::Result<()> {
    let one = Backend::start("one", site.routable(101, BACKEND_PORT)).await?;
    dns::answer(&name(site), &[one.address.ip()], 1);
    alias(site, &name(site)).await?;
    let tidegate = site.tidegate(&[]).await?;
    tidegate.becomes("http://ext.test/", From("one")).await?;
    dns::answer(&name(site), &[], 1);
    tidegate.diagnosed("unresolved_external_name", "ext").await?;
    tidegate.expect("http://ext.test/", From("one")).await?;
    Ok(())
}

async fn the_flag_refuses_all_of_them(site: &Site) -> anyhow::Result<()> {
    let one = Backend::start("one", site.routable(101, BACKEND_PORT)).await?;
    dns::answer(&name(site), &[one.address.ip()], 1);
    alias(site, &name(site)).await?;
    let tidegate = site.tidegate(&["--disable-external-name"]).await?;
    tidegate.diagnosed("refused_external_name", "ext").await?;
    tidegate.expect("http://ext.test/", Status(503)).await?;
    Ok(())
}
