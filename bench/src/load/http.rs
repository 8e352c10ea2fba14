//! Requests over HTTP/1.1.

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connect::{Connected, Stream};
use super::{Exchange, Hosts, Run};
use crate::{content, head};

const SMALL: usize = 64;
/// What one read takes at most.
const READ_BYTES: usize = 128 << 10;

/// Sends one request after another on the same connection.
pub(super) async fn keep_alive(run: &Run) {
    let mut client: Option<Client> = None;
    while let Some(number) = run.take() {
        let due = run.due(number).await;
        match one(run, &mut client, number).await {
            Ok(()) => run.right(due),
            Err(error) => {
                run.wrong(&error);
                client = None;
            }
        }
    }
}

async fn one(run: &Run, client: &mut Option<Client>, number: usize) -> anyhow::Result<()> {
    let hosts = run.plan.hosts;
    if client.is_none() {
        let name = hosts.name(number);
        let Connected { stream, .. } = run.connector.connect(&name).await?;
        *client = Some(Client::new(stream, run.plan.exchange, &name));
    }
    let client = client.as_mut().context("no client")?;
    if let Hosts::Many(_) = hosts {
        client.ask_for(run.plan.exchange, &hosts.name(number));
    }
    client.exchange(run.plan.exchange).await
}

/// Makes a new connection for each request.
pub(super) async fn connect_each(run: &Run) {
    while let Some(number) = run.take() {
        let due = run.due(number).await;
        let name = run.plan.hosts.name(number);
        let exchanged = async {
            let Connected { stream, resumed } = run.connector.connect(&name).await?;
            let mut client = Client::new(stream, Exchange::Download(SMALL), &name);
            client.exchange(Exchange::Download(SMALL)).await?;
            // What a server says after its reply, such as its goodbye, should find the socket open.
            let _ = client.stream.shutdown().await;
            anyhow::Ok(resumed)
        };
        match exchanged.await {
            Ok(resumed) => {
                run.outcome.borrow_mut().resumed += u64::from(resumed);
                run.right(due);
            }
            Err(error) => run.wrong(&error),
        }
    }
}

/// One connection, with its request ready to be sent.
pub(super) struct Client {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) fn new(stream: Box<dyn Stream>, exchange: Exchange, host: &str) -> Self {
        let mut client = Self { stream, request: Vec::new(), buffer: Vec::with_capacity(READ_BYTES) };
        client.ask_for(exchange, host);
        client
    }

    fn ask_for(&mut self, exchange: Exchange, host: &str) {
        let line = match exchange {
            Exchange::Download(bytes) => format!("GET /bytes/{bytes} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Exchange::Upload(bytes) => format!("POST /sink HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n\r\n"),
            Exchange::Connect | Exchange::Resume | Exchange::Http2 | Exchange::WebSocket(_) | Exchange::Idle | Exchange::IdleHttp2 => {
                format!("GET /bytes/{SMALL} HTTP/1.1\r\nHost: {host}\r\n\r\n")
            }
        };
        self.request.clear();
        self.request.extend_from_slice(line.as_bytes());
    }

    /// Sends the request, and reads and checks what comes back.
    pub(super) async fn exchange(&mut self, exchange: Exchange) -> anyhow::Result<()> {
        self.stream.write_all(&self.request).await?;
        let expected = match exchange {
            Exchange::Download(bytes) => bytes,
            Exchange::Upload(bytes) => {
                self.stream.write_all(content::body(bytes)).await?;
                self.stream.flush().await?;
                0
            }
            Exchange::Connect | Exchange::Resume | Exchange::Http2 | Exchange::WebSocket(_) | Exchange::Idle | Exchange::IdleHttp2 => SMALL,
        };
        self.stream.flush().await?;
        let length = loop {
            if let Some(length) = head::length(&self.buffer) {
                break length;
            }
            self.read().await?;
        };
        let head = self.buffer.get(..length).unwrap_or_default();
        if head::status(head) != Some(200) {
            bail!("{}", String::from_utf8_lossy(head).lines().next().unwrap_or("an empty head"));
        }
        let announced = head::number(head, "content-length").context("a response without a length")?;
        ensure!(announced == expected, "{announced} bytes instead of {expected}");
        self.buffer.drain(..length);
        let mut seen = 0;
        loop {
            ensure!(content::matches(seen, &self.buffer) && seen + self.buffer.len() <= expected, "a wrong byte after byte {seen}");
            seen += self.buffer.len();
            self.buffer.clear();
            if seen == expected {
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ_BYTES);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the connection ended inside a response");
        Ok(())
    }
}
