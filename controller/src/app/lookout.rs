//! Objects looked at once: read and translated as `serve` would, and shown by the very pages of a running instance. Nothing is served.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;
use tidegate_proxy::table::SessionTickets;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{certificate, flags, input};
use crate::admin::{Pages as _, Reply, View};
use crate::args::{DEFAULT_HTTP, DEFAULT_HTTPS, ListenAddress, LookOptions};
use crate::object::{Kind, SourceEvent};
use crate::publish::findings::Findings;
use crate::reconcile::Reconciler;
use crate::source::{cluster, directory};

/// How long an API server may take to list everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// What would be served of objects as they are now.
#[derive(Debug)]
pub struct Lookout {
    view: Arc<View>,
    /// What answers questions; ends with this.
    _running: JoinSet<()>,
}

impl Lookout {
    /// Reads the objects that flags name, and translates them.
    ///
    /// # Errors
    /// They cannot be had: names the flag, or what the API server does not give.
    pub async fn open(options: &LookOptions) -> anyhow::Result<Self> {
        flags::check_watched(&options.served.defaults, &options.source.watch_namespace)?;
        let tickets = SessionTickets::new().context("cannot make keys for TLS tickets")?;
        let places = [DEFAULT_HTTP, DEFAULT_HTTPS].map(ListenAddress::All);
        let mut translation = flags::translation(&options.served, places, certificate::default_certificate()?, tickets)?;
        for listener in &mut translation.listeners {
            // As where it listens, redirects lead to where `serve` without flags would.
            listener.public_https_port.get_or_insert(DEFAULT_HTTPS);
        }
        let mut running = JoinSet::new();
        let (sender, mut events) = input::channel();
        let mut reconciler = Reconciler::new(translation, input::listed_one_by_one(&options.source), Arc::default());
        let mut outcomes = reconciler.subscribe();
        let watches = match &options.source.manifests {
            Some(path) => {
                load(path, &options.source.watch_namespace, &sender, &mut running)
                    .with_context(|| format!("cannot read {} (--manifests)", path.display()))?;
                JoinSet::new()
            }
            None => {
                let source = &options.source;
                let connection = cluster::Connection { kubeconfig: source.kubeconfig.clone(), context: source.context.clone() };
                let client = cluster::connect(&connection).await?;
                cluster::watch(&client, &input::namespaces(source), &sender)
            }
        };
        let first = tokio::time::timeout(PATIENCE, reconciler.first_table(&mut events)).await;
        // What comes later is not looked at: it is a picture of one moment.
        drop(watches);
        let Ok(table) = first else {
            let missing: Vec<_> =
                Kind::ALL.iter().filter(|kind| !reconciler.snapshot().is_kind_synced(**kind)).map(|kind| kind.as_str()).collect();
            return Err(anyhow!("the API server has not listed {} within {} s", missing.join(", "), PATIENCE.as_secs()));
        };
        let table = table.context("the source ended before it was read")?;
        let publisher = Arc::new(Publisher::new(table));
        let (findings, state): (_, Arc<State>) = (Findings::default(), reconciler.state());
        let inquiries = reconciler.inquiries();
        let view = Arc::new(View {
            findings: findings.clone(),
            state,
            addresses: Vec::new(),
            publisher: Arc::new(OnceLock::from(Arc::clone(&publisher))),
            inquiries,
        });
        let (quiet, nothing) = mpsc::channel(1);
        running.spawn(async move {
            let _quiet = quiet;
            reconciler.run(nothing, &publisher).await;
        });
        findings.take(&*outcomes.recv().await.context("nothing was told")?);
        Ok(Self { view, _running: running })
    }

    /// Returns a page, as the admin address of a running instance has it.
    ///
    /// # Errors
    /// There is no such page, or it cannot be made.
    pub async fn page(&self, path: &str, query: Option<&str>) -> anyhow::Result<Reply> {
        let (view, path, query) = (Arc::clone(&self.view), path.to_owned(), query.map(str::to_owned));
        let made = tokio::task::spawn_blocking(move || view.page(&path, query.as_deref())).await;
        made.context("the page cannot be made")?.context("there is no such page")
    }
}

/// Hands over what files have, in these namespaces (all, if none is named) and without one.
fn load(path: &Path, namespaces: &[String], events: &mpsc::Sender<SourceEvent>, running: &mut JoinSet<()>) -> std::io::Result<()> {
    let mut loaded = directory::load(&[path.to_owned()]).map_err(|(_, error)| error)?;
    // With the last kind everything is known, and what comes then is not looked at: what is wrong with files comes before.
    loaded.events.sort_by_key(|event| matches!(event, SourceEvent::Replace { .. }));
    let namespaces: Vec<Arc<str>> = namespaces.iter().map(|namespace| namespace.as_str().into()).collect();
    let events = events.clone();
    running.spawn(async move {
        for event in loaded.events {
            let event = if namespaces.is_empty() { Some(event) } else { input::only_in(&namespaces, event) };
            if let Some(event) = event
                && events.send(event).await.is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::args::{Command, Options};

    fn options(line: &[&str]) -> LookOptions {
        let Command::Routes(options) = Options::parse_checked([&["tidegate", "routes"], line].concat()).unwrap().command else {
            panic!("not routes")
        };
        options.look
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_away_is_not_waited_for_for_ever() {
        let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("config");
        let text = format!(
            "{{apiVersion: v1, kind: Config, clusters: [{{name: c, cluster: {{server: 'http://{away}'}}}}], users: [{{name: u, user: {{}}}}],\n \
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}], current-context: x}}"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let error = Lookout::open(&options(&["--kubeconfig", kubeconfig.to_str().unwrap()])).await.unwrap_err().to_string();
        assert!(error.contains("has not listed") && error.contains("Ingress, ") || error.contains(", Ingress"), "{error}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_files_is_told_before_the_last_kind() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), "kind: [").unwrap();
        let (sender, mut events) = input::channel();
        let mut running = JoinSet::new();
        load(directory.path(), &[], &sender, &mut running).unwrap();
        drop(sender);
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(matches!(event, SourceEvent::File { .. }));
        }
        assert_eq!(told, [true, false, false, false, false, false, false]);
        let lookout = Lookout::open(&options(&["--manifests", directory.path().to_str().unwrap()])).await.unwrap();
        let page = lookout.page("/diagnostics", None).await.unwrap();
        assert!(String::from_utf8_lossy(&page.body).contains("invalid_file"));
    }

    #[tokio::test]
    async fn only_the_namespaces_that_are_named_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let ingress = |namespace: &str| {
            format!(
                "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: {namespace}}}\nspec: \
                 {{ingressClassName: x, defaultBackend: {{service: {{name: gone, port: {{number: 80}}}}}}}}\n"
            )
        };
        std::fs::write(directory.path().join("a.yaml"), format!("{}{}", ingress("a"), ingress("b"))).unwrap();
        let flags = ["--manifests", directory.path().to_str().unwrap(), "--ingress-class", "x", "--watch-namespace"];
        for (namespaces, found) in [("a", 1), ("a,b", 2), ("c", 0)] {
            let lookout = Lookout::open(&options(&[&flags[..], &[namespaces]].concat())).await.unwrap();
            let page = lookout.page("/diagnostics", None).await.unwrap();
            let list: Vec<serde_json::Value> = serde_json::from_slice(&page.body).unwrap();
            assert_eq!(list.len(), found, "{namespaces}: {list:?}");
        }
    }
}
