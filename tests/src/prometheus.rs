//! A real Prometheus, on loopback and a port of the system's choice, that scrapes one target; and its `promtool`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::client::Ask;
use crate::wait;

const MISSING: &str = "these tests need prometheus and promtool, which Debian has in the package prometheus";

/// A running Prometheus. It is killed, and forgets everything, when it goes out of scope.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    /// Its configuration and what it stores.
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` of the target twice a second, and waits until it answers. As with the Prometheus operator, the
    /// target's own `namespace` is that of its Pod, and what the page calls so is an `exported_namespace`.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub async fn scraping(target: SocketAddr, namespace: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = directory.path().join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
                 scrape_configs: [{{job_name: tidegate, static_configs: [{{targets: [\"{target}\"], labels: {{namespace: {namespace}}}}}]}}]\n"
            ),
        )?;
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .args(["--storage.tsdb.retention.size=64MB", "--web.listen-address=127.0.0.1:0", "--log.level=warn"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context(MISSING)?;
        let mut started = Self { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), _directory: directory };
        started.address = wait::until("Prometheus to listen", async || {
            if let Some(status) = started.child.try_wait()? {
                bail!("prometheus ended ({status})");
            }
            Ok(listening(started.child.id()))
        })
        .await?;
        wait::until_ok(async || {
            let answer = Ask::get("http://prometheus.test/-/ready")?.send(started.address).await?;
            ensure!(answer.status == 200, "{answer}");
            Ok(())
        })
        .await?;
        Ok(started)
    }

    /// Returns what a query yields now: the labels and the value of each sample.
    ///
    /// # Errors
    /// The query is wrong, or Prometheus does not answer.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = Ask::get(&format!("http://prometheus.test/api/v1/query?query={escaped}"))?.send(self.address).await?;
        ensure!(answer.status == 200, "{query}: {answer}");
        let answer: Value = serde_json::from_slice(&answer.body)?;
        let samples = answer["data"]["result"].as_array().with_context(|| format!("{query}: no result in {answer}"))?;
        let sample = |sample: &Value| Some((sample["metric"].clone(), sample["value"][1].as_str()?.parse().ok()?));
        samples.iter().map(|of| sample(of).with_context(|| format!("{query}: no sample: {of}"))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the loopback address that a process listens on, which Prometheus itself does not tell.
fn listening(process: u32) -> Option<SocketAddr> {
    let of_process = Path::new("/proc").join(process.to_string());
    let files = fs::read_dir(of_process.join("fd")).ok()?;
    let links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    let sockets: BTreeSet<_> = links
        .filter_map(|link| link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)))
        .collect();
    let table = fs::read_to_string(of_process.join("net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        // Local address, state (0A is listening) and inode.
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = local.strip_prefix("0100007F:").filter(|_| *state == "0A" && sockets.contains(*inode))?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from_str_radix(port, 16).ok()?)))
    })
}

/// Has `promtool check metrics` look at a page, and returns what it says, line by line.
///
/// # Errors
/// It is not installed, or cannot read the page at all.
pub fn complaints(page: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(MISSING)?;
    child.stdin.take().context("no standard input")?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said)?;
    // 3: it has read it and has something to say.
    ensure!(matches!(output.status.code(), Some(0 | 3)), "promtool cannot read the page ({}): {said}", output.status);
    Ok(said.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect())
}
