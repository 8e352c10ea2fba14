//! HTTP as bytes, over HTTP/2 in `http2`, and here over HTTP/1.1: the table of odd requests is sent to a Tidegate with one worker, one request after another, in front of a backend
//! that reads as strictly as can be. What the client got, what became of its connection, what the backend was sent, and what the
//! access log says must all be what the table has.

mod backend;
mod client;
mod http2;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tidegate_tests::front::{Front, Route};
use tidegate_tests::wait;

use backend::{Arrived, Recorder};
use client::Client;
use table::{Gets, Row, Then, rows};

/// What Tidegate adds to every request.
const ADDED: [&str; 7] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-forwarded-scheme", "x-real-ip", "x-request-id"];
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n";

#[test]
fn the_table_has_more_than_a_hundred_rows_and_each_its_name() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "two rows share a name");
    assert!(rows.len() > 100, "{}", rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_odd_request_gets_what_the_table_says() -> anyhow::Result<()> {
    let backend = Recorder::start().await?;
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("access.log");
    // With one worker, a request that follows shows that nothing is left of those before it.
    let flags = ["--workers=1".to_owned(), "--access-log-format=json".to_owned(), format!("--access-log={}", log.display())];
    let front = Front::start(&[Route::plain("app.test", backend.address)], &flags).await?;
    let mut bench = Bench { front, backend, broken: Vec::new() };
    let mut wrong = Vec::new();
    let mut expected = BTreeMap::new();
    let mut may_break_off = BTreeSet::new();
    for (row, number) in rows().iter().zip(0_u8..) {
        let from = Ipv4Addr::new(127, 2, 0, number + 1).to_string();
        expected.insert(from.clone(), (row.name, logged(row)));
        if let Err(error) = bench.check(row, &from).await {
            wrong.push(format!("{}: {error:#}", row.name));
        }
        if row.gets.iter().any(|gets| matches!(gets, Gets::BrokenOff(..))) {
            may_break_off.insert(format!("x-real-ip: {from}"));
        }
    }
    ensure!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
    bench.broken.retain(|broken| !broken.fields.iter().any(|field| may_break_off.contains(field)));
    ensure!(bench.broken.is_empty(), "the backend was sent beginnings of requests: {:?}", bench.broken);
    wait::until_ok(async || compare(&log, &expected)).await
}

/// What the rows are tried on.
struct Bench {
    front: Front,
    backend: Recorder,
    /// Requests that came in part. The backend may notice it late, so that they are looked at in the end.
    broken: Vec<Arrived>,
}

impl Bench {
    async fn check(&mut self, row: &Row, from: &str) -> anyhow::Result<()> {
        let answers = self.exchange(row, from.parse()?).await;
        // Whatever was still on its way to the backend is there once this is.
        let mut client = Client::connect(Ipv4Addr::LOCALHOST, self.front.tidegate.http).await?;
        client.send(NEXT.as_bytes()).await?;
        client.answer().await.context("a request that follows, on a connection of its own")?;
        let (mut arrived, broken): (Vec<_>, Vec<_>) = self.backend.take().into_iter().partition(|arrived| arrived.broken.is_none());
        self.broken.extend(broken);
        let last = arrived.pop().context("the request that follows did not arrive")?;
        ensure!(last.line.starts_with("GET /next "), "before the request that follows came {last:?}");
        answers.with_context(|| format!("the backend was sent {arrived:?}"))?;
        if row.then == Then::StaysOpen {
            ensure!(arrived.pop().is_some_and(|next| next.line.starts_with("GET /next ")), "the next request did not arrive");
        }
        compare_arrived(row, arrived, from)
    }

    /// Sends the row and reads what it gets.
    async fn exchange(&self, row: &Row, from: Ipv4Addr) -> anyhow::Result<()> {
        let mut client = Client::connect(from, self.front.tidegate.http).await?;
        client.send(&row.sent).await?;
        for (gets, number) in row.gets.iter().zip(1..) {
            let (status, body) = client.answer().await.with_context(|| format!("answer {number}"))?;
            let (wanted, reason) = status_and_reason(gets);
            ensure!(status == wanted, "answer {number} is {status} {body:?}, not {gets:?}");
            // Those of hyper's have no text.
            let text = reason.map_or("ok".to_owned(), |reason| format!(": {reason}\n"));
            ensure!(body.ends_with(&text) || reason.is_some() && body.is_empty(), "answer {number} is {status} {body:?}, not {gets:?}");
        }
        match row.then {
            Then::StaysOpen => {
                client.send(NEXT.as_bytes()).await?;
                let (status, body) = client.answer().await.context("the connection does not serve another request")?;
                ensure!((status, body.as_str()) == (200, "ok"), "the next request got {status} {body:?}");
                Ok(())
            }
            Then::Closes => client.end().await,
        }
    }
}

fn status_and_reason(gets: &Gets) -> (u16, Option<&'static str>) {
    match gets {
        Gets::Forwarded(..) => (200, None),
        Gets::Refused(status, reason) | Gets::BrokenOff(status, reason) => (*status, Some(reason)),
    }
}

/// Holds the whole requests that the backend was sent for a row against what the table says.
fn compare_arrived(row: &Row, arrived: Vec<Arrived>, from: &str) -> anyhow::Result<()> {
    let shown = format!("{arrived:?}");
    let mut arrived = arrived.into_iter();
    for gets in &row.gets {
        match gets {
            Gets::Refused(..) | Gets::BrokenOff(..) => {}
            Gets::Forwarded(head, body) => {
                let one = arrived.next().with_context(|| format!("the backend was sent {shown}, too little"))?;
                let (sent, added) = split(&one);
                ensure!((&*sent, &*one.body) == (*head, *body), "the backend was sent {sent:?} {:?}, not {gets:?}", one.body);
                check_added(&added, from)?;
            }
        }
    }
    ensure!(arrived.next().is_none(), "the backend was sent {shown}, too much");
    Ok(())
}

/// Splits a head into what came from the client, its lines sorted, and what was added.
fn split(arrived: &Arrived) -> (String, Vec<(&str, &str)>) {
    let mut sent = Vec::new();
    let mut added = Vec::new();
    for field in &arrived.fields {
        match field.split_once(": ") {
            Some((name, value)) if ADDED.contains(&name) => added.push((name, value)),
            Some(_) | None => sent.push(field.as_str()),
        }
    }
    sent.sort_unstable();
    sent.insert(0, &arrived.line);
    added.sort_unstable();
    (sent.join("\n"), added)
}

/// Each is there once, and tells of the client that it was.
fn check_added(added: &[(&str, &str)], from: &str) -> anyhow::Result<()> {
    let names: Vec<_> = added.iter().map(|(name, _)| *name).collect();
    ensure!(names == ADDED, "added were {added:?}");
    for (name, value) in added {
        match *name {
            "x-forwarded-for" | "x-real-ip" if *value != from => bail!("{name} is {value}, not {from}"),
            "x-forwarded-proto" | "x-forwarded-scheme" if *value != "http" => bail!("{name} is {value}"),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the status and the reason of each line that a row leaves in the access log.
fn logged(row: &Row) -> Vec<(u64, Option<String>)> {
    let of = |gets: &Gets| {
        let (status, reason) = status_and_reason(gets);
        (u64::from(status), reason.map(str::to_owned))
    };
    let next = (row.then == Then::StaysOpen).then_some((200, None));
    row.gets.iter().map(of).chain(next).collect()
}

type Logged = BTreeMap<String, (&'static str, Vec<(u64, Option<String>)>)>;

/// Holds the access log against the table: every request has its line, with status and reason.
fn compare(log: &Path, expected: &Logged) -> anyhow::Result<()> {
    let mut found = BTreeMap::<String, Vec<_>>::new();
    for line in std::fs::read_to_string(log)?.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let status = line.get("status").and_then(Value::as_u64).context("no status")?;
        found.entry(text("client.ip").context("no client.ip")?).or_default().push((status, text("reason")));
    }
    let wrong: Vec<_> = expected
        .iter()
        .filter(|(from, (_, lines))| found.get(*from) != Some(lines))
        .map(|(from, (name, lines))| format!("{name}: logged {:?}, not {lines:?}", found.get(from)))
        .collect();
    ensure!(wrong.is_empty(), "the log has other lines for {} rows:\n{}", wrong.len(), wrong.join("\n"));
    Ok(())
}
