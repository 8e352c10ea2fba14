//! An installed release, asked through its load balancer. It is uninstalled, whatever the test came to, so that the next finds a cluster
//! without one.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use kube::api::{DynamicObject, ListParams};
use serde_json::Value;
use tidegate_tests::client::{Answer, Ask};
use tidegate_tests::helm;
use tidegate_tests::object;
use tidegate_tests::site::Site;
use tidegate_tests::wait;

use crate::world;

/// How long helm waits.
const PATIENCE: &str = "--timeout=90s";

/// A release named `edge` in the namespace of a site.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    pub(crate) site: &'a Site,
    /// What names of its objects begin with.
    pub(crate) name: &'static str,
}

/// Deletes the CRDs that a release kept: they are that one's, and another would refuse to have them.
pub(crate) async fn forget_crds(site: &Site) -> anyhow::Result<()> {
    site.cluster()?.kubectl(&["delete", "crd", "classparameters.tidegate.dev", "--ignore-not-found"]).await?;
    Ok(())
}

/// Values that every release of these tests has: Pods end soon, the load balancer being soon to notice.
const SOON: &str = "controller.extraArgs.drain-min=6s";

impl<'a> Release<'a> {
    /// Installs the chart with these values, runs what is to be seen, and uninstalls it. What its Pods wrote is shown when that fails.
    pub(crate) async fn with<T>(site: &'a Site, values: &[&str], seen: impl AsyncFnOnce(&Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let release = Self { site, name: "edge-tidegate" };
        let tried = async {
            forget_crds(site).await?;
            release.helm("install", values, &["--wait"]).await?;
            seen(&release).await
        }
        .await;
        let shown = tried
            .map_err(|error| error.context(world::world().map_or_else(|_| String::new(), |world| world.kubelet.logs(&site.namespace))));
        let gone = release.uninstall().await;
        let found = shown?;
        gone?;
        Ok(found)
    }

    /// Installs or upgrades it with these values.
    pub(crate) async fn helm(&self, verb: &str, values: &[&str], flags: &[&str]) -> anyhow::Result<String> {
        let (chart, namespace) = (helm::chart(), format!("--namespace={}", self.site.namespace));
        let mut arguments = vec![verb.to_owned(), "edge".to_owned(), chart.to_string_lossy().into_owned(), namespace, PATIENCE.to_owned()];
        for value in [SOON].iter().chain(values) {
            arguments.extend(["--set".to_owned(), self.site.fill(value)]);
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        world::helm()?.run(&arguments).await
    }

    /// Goes back to a revision.
    pub(crate) async fn rollback(&self, revision: &str) -> anyhow::Result<String> {
        world::helm()?.run(&["rollback", "edge", revision, "--wait", PATIENCE, "--namespace", &self.site.namespace]).await
    }

    /// Uninstalls it and waits until its Pods are gone too.
    pub(crate) async fn uninstall(&self) -> anyhow::Result<()> {
        world::helm()?.run(&["uninstall", "edge", "--wait", "--ignore-not-found", PATIENCE, "--namespace", &self.site.namespace]).await?;
        wait::until_ok(async || {
            let left = self.pods().await?;
            ensure!(left.is_empty(), "{} Pods are left", left.len());
            Ok(())
        })
        .await
    }

    /// Returns the Pods of its controller.
    pub(crate) async fn pods(&self) -> anyhow::Result<Vec<DynamicObject>> {
        let api = object::api(&self.site.cluster()?.client(), "Pod", &self.site.namespace)?;
        Ok(api.list(&ListParams::default().labels("app.kubernetes.io/component=controller")).await?.items)
    }

    /// Returns where its load balancer is, on a port.
    pub(crate) async fn address(&self, port: u16) -> anyhow::Result<SocketAddr> {
        let service = self.site.get("Service", &format!("{}-controller", self.name)).await?;
        let ip = service.data["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().context("the Service has no address")?.to_owned();
        Ok(SocketAddr::new(ip.parse()?, port))
    }

    /// Asks it, through the load balancer's port of the URL's scheme.
    pub(crate) async fn ask(&self, url: &str) -> anyhow::Result<Answer> {
        let port = if url.starts_with("https:") { 443 } else { 80 };
        Ask::get(url)?.send(self.address(port).await?).await
    }

    /// Waits until an answer is a 200 of the backend with this name.
    pub(crate) async fn serves(&self, url: &str, backend: &str) -> anyhow::Result<Answer> {
        wait::until_ok(async || {
            let answer = self.ask(url).await?;
            ensure!(answer.status == 200 && answer.seen()["name"] == backend, "{url}: {answer}");
            Ok(answer)
        })
        .await
    }

    /// Waits until a Pod's status shows what is looked for.
    pub(crate) async fn pod_shows<T>(&self, what: &str, look: impl Fn(&Value) -> Option<T>) -> anyhow::Result<T> {
        wait::until(what, async || Ok(self.pods().await?.iter().find_map(|pod| look(&pod.data["status"])))).await
    }
}
