//! Requests over one HTTP/2 connection, one after another; load over HTTP/2 is h2load's.

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Run;
use crate::content;

const SMALL: usize = 64;

/// One connection.
pub(super) struct Client {
    sender: SendRequest<Empty<Bytes>>,
    target: Uri,
}

impl Client {
    pub(super) async fn connect(run: &Run, number: usize) -> anyhow::Result<Self> {
        let name = run.plan.hosts.name(number);
        let connected = run.connector.connect(&name).await?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(connected.stream)).await?;
        tokio::spawn(async move {
            // What it ends with reaches the request.
            let _ = connection.await;
        });
        Ok(Self { sender, target: format!("https://{name}/bytes/{SMALL}").parse()? })
    }

    pub(super) async fn exchange(&mut self) -> anyhow::Result<()> {
        let response = self.sender.send_request(Request::get(self.target.clone()).body(Empty::new())?).await?;
        ensure!(response.status() == 200, "{}", response.status());
        ensure!(response.into_body().collect().await?.to_bytes() == content::body(SMALL), "a wrong byte");
        Ok(())
    }
}

/// Sends one request after another on the same connection.
pub(super) async fn keep_alive(run: &Run) {
    let mut client = None;
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
    let connected = match client.take() {
        Some(connected) => connected,
        None => Client::connect(run, number).await?,
    };
    client.insert(connected).exchange().await
}
