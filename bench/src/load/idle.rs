//! Connections that served one request and then say nothing.

use std::any::Any;
use std::time::Instant;

use super::{Exchange, Run, http, http2};

/// Opens one connection after another and keeps them all.
pub(super) async fn open(run: &Run) {
    while let Some(number) = run.take() {
        let begun = Instant::now();
        let greeted =
            if matches!(run.plan.exchange, Exchange::IdleHttp2) { greet_http2(run, number).await } else { greet(run, number).await };
        match greeted {
            Ok(connection) => {
                run.right(begun);
                run.held.borrow_mut().push(connection);
            }
            Err(error) => run.wrong(&error),
        }
    }
}

async fn greet(run: &Run, number: usize) -> anyhow::Result<Box<dyn Any>> {
    let name = run.plan.hosts.name(number);
    let mut client = http::Client::new(run.connector.connect(&name).await?.stream, Exchange::Idle, &name);
    client.exchange(Exchange::Idle).await?;
    Ok(Box::new(client))
}

async fn greet_http2(run: &Run, number: usize) -> anyhow::Result<Box<dyn Any>> {
    let mut client = http2::Client::connect(run, number).await?;
    client.exchange().await?;
    Ok(Box::new(client))
}
