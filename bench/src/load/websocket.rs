//! WebSocket messages.

use anyhow::{Context as _, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::Run;
use super::connect::Stream;
use crate::content;

/// Sends one message after another, each once the one before was echoed.
pub(super) async fn messages(run: &Run, bytes: usize) {
    let mut socket = match open(run).await {
        Ok(socket) => socket,
        Err(error) => return run.wrong(&error),
    };
    while let Some(number) = run.take() {
        let due = run.due(number).await;
        match echo(&mut socket, bytes).await {
            Ok(()) => run.right(due),
            // Nothing more will come of this connection.
            Err(error) => return run.wrong(&error),
        }
    }
    let _ = socket.close(None).await;
}

async fn open(run: &Run) -> anyhow::Result<WebSocketStream<Box<dyn Stream>>> {
    let name = run.plan.hosts.name(0);
    let stream = run.connector.connect(&name).await?.stream;
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{name}/ws"), stream).await?;
    Ok(socket)
}

async fn echo(socket: &mut WebSocketStream<Box<dyn Stream>>, bytes: usize) -> anyhow::Result<()> {
    socket.send(Message::binary(content::body(bytes))).await?;
    let reply = socket.next().await.context("the connection ended")??;
    ensure!(reply.into_data() == content::body(bytes), "a wrong byte");
    Ok(())
}
