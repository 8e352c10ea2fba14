//! A client that keeps a WebSocket open: a message every quarter of a second, which must come back; a new one when it is closed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::connection::{Stream, Wire, connect};
use super::{Closed, Kind, Shared};
use crate::client::ANSWER_WITHIN;

const REST: Duration = Duration::from_millis(250);

/// Keeps one open until the traffic ends.
pub(super) async fn talk(shared: Arc<Shared>, wire: Wire) {
    while !shared.stopped() {
        let (ends, stream) = match connect(&shared, wire).await {
            Ok(open) => open,
            Err((ends, cause)) => {
                shared.tally().failed(Kind::WebSocket, ends, format!("no connection: {cause:#}"));
                continue;
            }
        };
        let host = if wire == Wire::Http1 { &shared.target.plain } else { &shared.target.secure };
        let opening = timeout(ANSWER_WITHIN, tokio_tungstenite::client_async(format!("ws://{host}/chat"), stream)).await;
        let mut socket = match opening.context("no answer in time").and_then(|opened| Ok(opened?)) {
            Ok((socket, _)) => socket,
            Err(cause) => {
                shared.tally().failed(Kind::WebSocket, Some(ends), format!("not opened: {cause:#}"));
                continue;
            }
        };
        shared.tally().opened += 1;
        match exchange(&shared, &mut socket).await {
            Ok(None) => return,
            Ok(Some(how)) => shared.tally().closed.push(Closed { on: ends, how, at: Instant::now() }),
            Err(cause) => shared.tally().failed(Kind::WebSocket, Some(ends), format!("{cause:#}")),
        }
    }
}

/// Sends messages until the traffic ends, or the other side closes: returns how. A message that was under way then is lost, as those who use
/// WebSockets must expect.
async fn exchange(shared: &Shared, socket: &mut WebSocketStream<Box<dyn Stream>>) -> anyhow::Result<Option<String>> {
    for number in 0_u32.. {
        if shared.stopped() {
            // Its answer is nothing to us.
            let _ = socket.close(None).await;
            break;
        }
        let sent = Message::text(number.to_string());
        if let Err(error) = socket.send(sent.clone()).await {
            return Ok(Some(words(&error)));
        }
        match timeout(ANSWER_WITHIN, socket.next()).await.context("no message in time")? {
            Some(Ok(Message::Close(frame))) => return Ok(Some(format!("by a frame, {frame:?}"))),
            Some(Ok(came)) => ensure!(came == sent, "another message came back: {came}, not {sent}"),
            Some(Err(error)) => return Ok(Some(words(&error))),
            None => return Ok(Some("the stream ended".to_owned())),
        }
        shared.tally().good(Kind::WebSocket);
        // Nothing comes unasked but the end.
        match timeout(REST, socket.next()).await {
            Err(_) => {}
            Ok(Some(Ok(Message::Close(frame)))) => return Ok(Some(format!("by a frame, {frame:?}"))),
            Ok(Some(Ok(came))) => anyhow::bail!("a message came unasked: {came}"),
            Ok(Some(Err(error))) => return Ok(Some(words(&error))),
            Ok(None) => return Ok(Some("the stream ended".to_owned())),
        }
    }
    Ok(None)
}

fn words(error: &Error) -> String {
    format!("without a frame, {error}")
}
