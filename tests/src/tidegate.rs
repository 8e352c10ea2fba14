//! A Tidegate under test: `tidegate serve` on addresses that the system chose, asked as clients ask.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use http::{Method, Version};
use serde_json::Value;

use crate::binary::Process;
use crate::client::{Answer, Ask};
use crate::wait;

/// A running `tidegate serve`. It is killed when the last handle goes.
#[derive(Debug, Clone)]
pub struct Tidegate {
    process: Arc<Mutex<Process>>,
    /// Where http is served.
    pub http: SocketAddr,
    /// Where https is served.
    pub https: SocketAddr,
    /// Where health and metrics are.
    pub health: SocketAddr,
    /// Where the admin pages are.
    pub admin: SocketAddr,
}

/// What an answer is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want<'a> {
    /// A 200 of the echo backend of this name; a name that ends in `-` stands for all that begin so.
    From(&'a str),
    /// This status, made by Tidegate itself.
    Status(u16),
    /// A redirect with this status and `Location`; `$HTTPS` in it is the https port.
    Redirect(u16, &'a str),
}

impl Tidegate {
    /// Starts the binary with these arguments besides the addresses that they do not give, and reads from its first log lines where it listens.
    ///
    /// # Errors
    /// It ends, or does not say where it listens.
    pub fn start(arguments: &[String]) -> anyhow::Result<Self> {
        Self::start_with(arguments, &[])
    }

    /// Starts it with variables in its environment besides.
    ///
    /// # Errors
    /// As of [`Tidegate::start`].
    pub fn start_with(arguments: &[String], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let given = |flag: &str| arguments.iter().any(|argument| argument.split('=').next() == Some(flag));
        let addresses = ["--http", "--https", "--health", "--admin"].into_iter().filter(|flag| !given(flag));
        let addresses: Vec<_> = addresses.map(|flag| format!("{flag}=127.0.0.1:0")).collect();
        let all = addresses.iter().chain(arguments).map(String::as_str);
        let arguments: Vec<_> = ["serve", "--log-format=json"].into_iter().chain(all).collect();
        let mut process = Process::start(&arguments, environment)?;
        let mut bound = |listener: &str| -> anyhow::Result<SocketAddr> {
            let line = process.line(&format!("\"listener\":\"{listener}\""))?;
            let line: Value = serde_json::from_str(&line).with_context(|| format!("not a JSON log line: {line}"))?;
            Ok(line["address"].as_str().context("no address in the log line")?.parse()?)
        };
        let (http, https, health, admin) = (bound("http")?, bound("https")?, bound("health")?, bound("admin")?);
        Ok(Self { process: Arc::new(Mutex::new(process)), http, https, health, admin })
    }

    /// Returns whether `/readyz` says that it is ready.
    pub async fn is_ready(&self) -> bool {
        let Ok(ask) = Ask::get("http://health.test/readyz") else { return false };
        ask.send(self.health).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ended, or is not ready in time.
    pub async fn ready(&self) -> anyhow::Result<()> {
        wait::until("readiness", async || {
            if let Some(status) = self.process().ended()? {
                bail!("tidegate ended ({status})");
            }
            Ok(self.is_ready().await.then_some(()))
        })
        .await
    }

    /// Returns a document of the admin page.
    ///
    /// # Errors
    /// It is not there, or not JSON.
    pub async fn admin(&self, path: &str) -> anyhow::Result<Value> {
        let answer = Ask::get(&format!("http://admin.test{path}"))?.send(self.admin).await?;
        ensure!(answer.status == 200, "{path}: {answer}");
        serde_json::from_slice(&answer.body).with_context(|| format!("{path}: {answer}"))
    }

    /// Waits until a diagnostic with this code about an object of this name holds.
    ///
    /// # Errors
    /// It does not come: says which there are.
    pub async fn diagnosed(&self, code: &str, name: &str) -> anyhow::Result<Value> {
        wait::until_ok(async || {
            let all = self.diagnostics().await?;
            let found = all.iter().find(|found| found["code"] == code && found["object"].to_string().contains(name));
            found.cloned().with_context(|| format!("no {code} for {name} among {all:#?}"))
        })
        .await
    }

    /// Waits until no diagnostic with this code holds.
    ///
    /// # Errors
    /// One stays.
    pub async fn no_more(&self, code: &str) -> anyhow::Result<()> {
        wait::until_ok(async || {
            let all = self.diagnostics().await?;
            ensure!(all.iter().all(|found| found["code"] != code), "{code} still holds: {all:#?}");
            Ok(())
        })
        .await
    }

    /// Returns the diagnostics that hold now.
    ///
    /// # Errors
    /// The admin page does not answer.
    pub async fn diagnostics(&self) -> anyhow::Result<Vec<Value>> {
        let page = self.admin("/diagnostics").await?;
        let list = page.get("diagnostics").unwrap_or(&page);
        Ok(list.as_array().with_context(|| format!("not a list: {page}"))?.clone())
    }

    /// Asks with GET over HTTP/1.1; the URL's scheme says which listener.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.send(&Ask::get(url)?).await
    }

    /// Asks with GET over HTTP/2.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn get_h2(&self, url: &str) -> anyhow::Result<Answer> {
        self.send(&Ask { version: Version::HTTP_2, ..Ask::get(url)? }).await
    }

    /// Asks with POST and this body.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn post(&self, url: &str, body: impl Into<bytes::Bytes> + Send) -> anyhow::Result<Answer> {
        self.send(&Ask { method: Method::POST, body: body.into(), ..Ask::get(url)? }).await
    }

    /// Sends a request to the listener of its scheme.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn send(&self, ask: &Ask) -> anyhow::Result<Answer> {
        ask.send(if ask.url.scheme_str() == Some("https") { self.https } else { self.http }).await
    }

    /// Checks what a GET yields, now.
    ///
    /// # Errors
    /// Another answer than is wanted: shows it.
    pub async fn expect(&self, url: &str, want: Want<'_>) -> anyhow::Result<Answer> {
        let answer = self.get(url).await?;
        self.check(url, &answer, want)?;
        Ok(answer)
    }

    /// Checks what several GETs yield, now.
    ///
    /// # Errors
    /// Another answer than is wanted: shows all that are.
    pub async fn expect_all(&self, wants: &[(&str, Want<'_>)]) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for (url, want) in wants {
            if let Err(error) = self.expect(url, *want).await {
                wrong.push(format!("{error:#}"));
            }
        }
        ensure!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), wants.len(), wrong.join("\n"));
        Ok(())
    }

    /// Asks again and again until the answer is the wanted one: for what follows a change.
    ///
    /// # Errors
    /// It does not come: shows the last answer.
    pub async fn becomes(&self, url: &str, want: Want<'_>) -> anyhow::Result<Answer> {
        wait::until_ok(async || self.expect(url, want).await).await
    }

    fn check(&self, url: &str, answer: &Answer, want: Want<'_>) -> anyhow::Result<()> {
        let fits = match want {
            Want::From(name) => {
                let seen = answer.seen();
                let from = seen["name"].as_str().unwrap_or_default();
                answer.status == 200 && (from == name || name.ends_with('-') && from.starts_with(name))
            }
            Want::Status(status) => answer.status == status && answer.seen()["name"].is_null(),
            Want::Redirect(status, location) => {
                answer.status == status && answer.header("location") == location.replace("$HTTPS", &self.https.port().to_string())
            }
        };
        ensure!(fits, "{url}: wanted {want:?}, got {answer}");
        Ok(())
    }

    /// Sends a signal, by its name as `kill` knows it.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        self.process().signal(name)
    }

    /// Waits until the process has ended and returns its exit code, `None` if a signal ended it.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(&self) -> anyhow::Result<Option<i32>> {
        let status = wait::until("the process's end", async || self.process().ended()).await?;
        Ok(status.code())
    }

    /// Returns everything that the process wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process().said().join("\n")
    }

    /// Returns the lines of its log whose message is this one.
    #[must_use]
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message || line["fields"]["message"] == message).collect()
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
