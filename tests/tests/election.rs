//! Who stands for election: a replica that serves, and no other. The API server is a small one of this test's own, so that it can refuse what a
//! real one would only refuse with roles for it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidegate_tests::binary::{Process, curl};
use tidegate_tests::wait;

/// An API server without objects, which may refuse Secrets, and keeps one Lease.
struct ApiServer {
    secrets: AtomicBool,
    lease: Mutex<Option<Value>>,
    /// Requests about Leases, and lists.
    asked: Mutex<Vec<String>>,
}

impl ApiServer {
    fn start() -> anyhow::Result<(Arc<Self>, String)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let server = Arc::new(Self { secrets: AtomicBool::new(false), lease: Mutex::default(), asked: Mutex::default() });
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = Arc::clone(&serving);
                // A client that goes away ends it.
                std::thread::spawn(move || server.serve(connection));
            }
        });
        Ok((server, format!("http://{address}")))
    }

    /// Answers one request; each has a connection of its own.
    fn serve(&self, mut connection: TcpStream) -> anyhow::Result<()> {
        let mut reader = BufReader::new(connection.try_clone()?);
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut first)?;
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if first.contains("watch=true") {
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            // Nothing happens, until the client has had enough.
            reader.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        let (status, answer) = self.answer(&first, &body);
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        connection.write_all(format!("{head}{answer}").as_bytes())?;
        Ok(())
    }

    fn answer(&self, first: &str, body: &[u8]) -> (u16, Value) {
        self.lock(&self.asked).push(first.trim().to_owned());
        let failure = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Forbidden" };
            (code, json!({"kind": "Status", "status": "Failure", "message": "no", "reason": reason, "code": code}))
        };
        if first.contains("/secrets") && !self.secrets.load(Ordering::SeqCst) {
            return failure(403);
        }
        if !first.contains("/leases") {
            return (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}));
        }
        let mut lease = self.lock(&self.lease);
        if !first.starts_with("GET") {
            *lease = serde_json::from_slice(body).ok();
        }
        lease.clone().map_or_else(|| failure(404), |lease| (200, lease))
    }

    fn lock<'a, T>(&self, of: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self) -> Option<String> {
        Some(self.lock(&self.lease).as_ref()?.pointer("/spec/holderIdentity")?.as_str()?.to_owned())
    }

    fn asked(&self, part: &str) -> usize {
        self.lock(&self.asked).iter().filter(|request| request.contains(part)).count()
    }
}

fn start(server: &str) -> anyhow::Result<(Process, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("config");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, clusters: [{{name: a, cluster: {{server: '{server}'}}}}], \
         users: [{{name: a, user: {{token: t}}}}], contexts: [{{name: a, context: {{cluster: a, user: a}}}}]}}"
    );
    std::fs::write(&kubeconfig, text)?;
    let file = format!("--kubeconfig={}", kubeconfig.display());
    let any = ["--http=127.0.0.1:0", "--https=127.0.0.1:0", "--health=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let process = Process::start(&[&["serve", file.as_str(), "--drain-min=0"][..], &any[..]].concat(), &[])?;
    Ok((process, directory))
}

#[tokio::test]
async fn a_replica_stands_for_election_only_once_it_is_ready_and_lets_go_when_it_ends() -> anyhow::Result<()> {
    let (server, url) = ApiServer::start()?;
    let (mut process, _directory) = start(&url)?;
    // Several attempts at the Secrets later, it has had the time to ask for the Lease.
    wait::until("attempts", async || Ok((server.asked("/secrets") >= 4).then_some(()))).await?;
    ensure!(server.asked("/leases") == 0, "a replica that is not ready stands for election");
    server.secrets.store(true, Ordering::SeqCst);
    process.line("ready")?;
    wait::until("the Lease", async || Ok(server.holder())).await?;
    process.signal("TERM")?;
    assert_eq!(process.wait()?.code(), Some(0));
    assert_eq!(server.holder(), None, "the Lease is not let go");
    Ok(())
}

#[tokio::test]
async fn the_replica_that_leads_says_so_in_its_metrics() -> anyhow::Result<()> {
    let (server, url) = ApiServer::start()?;
    server.secrets.store(true, Ordering::SeqCst);
    let (mut process, _directory) = start(&url)?;
    let line = process.line("health")?;
    let address = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let page = format!("http://127.0.0.1:{}/metrics", address.with_context(|| line.clone())?);
    wait::until_ok(async || {
        let page = curl(&[&page])?;
        let status = page.lines().find(|line| line.starts_with("nginx_ingress_controller_leader_election_status{"));
        let status = status.with_context(|| page.clone())?;
        ensure!(status.ends_with("name=\"tidegate-leader\"} 1"), "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_replica_that_ends_at_once_lets_go_too() -> anyhow::Result<()> {
    let (server, url) = ApiServer::start()?;
    server.secrets.store(true, Ordering::SeqCst);
    let (mut process, _directory) = start(&url)?;
    wait::until("the Lease", async || Ok(server.holder())).await?;
    process.signal("TERM")?;
    process.signal("TERM")?;
    process.wait()?;
    assert_eq!(server.holder(), None, "the Lease is not let go");
    Ok(())
}

#[tokio::test]
async fn a_signal_before_it_is_ready_ends_it_without_a_word_to_the_lease() -> anyhow::Result<()> {
    let (server, url) = ApiServer::start()?;
    let (mut process, _directory) = start(&url)?;
    wait::until("an attempt", async || Ok((server.asked("/secrets") >= 1).then_some(()))).await?;
    process.signal("TERM")?;
    assert_eq!(process.wait()?.code(), Some(0));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(server.asked("/leases"), 0);
    Ok(())
}
