//! Asks a proxy the same again and again on one connection, and tells when the answer first is the wanted one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::head;

/// Between two requests.
const REST: Duration = Duration::from_micros(200);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// A connection on which one question is asked.
pub(super) struct Conversation {
    stream: TcpStream,
    request: String,
}

impl Conversation {
    pub(super) fn open(address: SocketAddr, path: &str, host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut conversation = Self { stream, request: String::new() };
        conversation.turn_to(path, host);
        Ok(conversation)
    }

    /// Asks something else from now on.
    pub(super) fn turn_to(&mut self, path: &str, host: &str) {
        self.request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    }

    pub(super) fn ask(&mut self) -> anyhow::Result<Answer> {
        self.stream.write_all(self.request.as_bytes())?;
        let mut read = Vec::new();
        let mut piece = [0; 4096];
        let mut more = |read: &mut Vec<u8>| -> anyhow::Result<()> {
            let count = self.stream.read(&mut piece)?;
            ensure!(count > 0, "the connection ended");
            read.extend_from_slice(piece.get(..count).unwrap_or_default());
            Ok(())
        };
        let length = loop {
            match head::length(&read) {
                Some(length) => break length,
                None => more(&mut read)?,
            }
        };
        let status = head::status(&read).context("no status")?;
        let total =
            length + head::number(read.get(..length).unwrap_or_default(), "content-length").context("an answer without a length")?;
        while read.len() < total {
            more(&mut read)?;
        }
        Ok(Answer { status, body: read.split_off(length) })
    }
}

/// A probe that is under way.
pub(super) struct Probe(JoinHandle<anyhow::Result<Instant>>);

impl Probe {
    /// Starts one, and waits for the first answer, which must not be the wanted one.
    pub(super) async fn start(
        address: SocketAddr,
        host: String,
        wanted: impl Fn(&Answer) -> bool + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (begun, begins) = oneshot::channel();
        let task = tokio::task::spawn_blocking(move || {
            let mut conversation = Conversation::open(address, "/", &host)?;
            ensure!(!wanted(&conversation.ask()?), "{host} is served before the change");
            let _ = begun.send(());
            let since = Instant::now();
            loop {
                if wanted(&conversation.ask()?) {
                    return Ok(Instant::now());
                }
                ensure!(since.elapsed() < PATIENCE, "{host}: the change never serves");
                std::thread::sleep(REST);
            }
        });
        // An error comes with the end.
        let _ = begins.await;
        Ok(Self(task))
    }

    /// Returns when the answer was the wanted one.
    pub(super) async fn end(self) -> anyhow::Result<Instant> {
        self.0.await?
    }
}
