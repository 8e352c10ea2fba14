//! Processor time of a change, by its kind: what the process used while so many changes came, less what it uses while none do.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::arena::{Arena, SECRETS, create, host, ingress, numbered_ingress, old_slice, secret, slice};
use super::report::Rows;
use super::subjects::Subject;
use crate::report::Spread;

/// Each kind is measured so many times, in turn with the others.
const ROUNDS: usize = 5;
/// From the start of one change to that of the next: far more than the pause that makes a batch.
const PACE: Duration = Duration::from_millis(40);
/// What follows the last change.
const SETTLE: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_secs(2);

/// A kind of change.
const KINDS: [&str; 4] = ["Ingress added", "Ingress changed", "slice changed", "Secret rotated"];

/// Measures all kinds.
pub(super) async fn cost(arena: &Arena, tidegate: &Subject, changes: usize, rows: &mut Rows<'_>) -> anyhow::Result<()> {
    let each = changes.div_ceil(ROUNDS);
    let mut costs = KINDS.map(|kind| (kind, Vec::new()));
    let mut idle = Vec::new();
    for round in 0..ROUNDS {
        // What a start, or deletions, leave to be done is not a change's.
        tokio::time::sleep(SETTLE).await;
        let resting = rate(tidegate).await;
        idle.push(resting * 1e6);
        for (kind, costs) in &mut costs {
            let (api, changes) = prepare(arena, kind, round * each..(round + 1) * each, rows.size)?;
            let (before, begun) = (tidegate.process.used().nanos, Instant::now());
            let mut ticks = tokio::time::interval(PACE);
            for change in changes {
                ticks.tick().await;
                change.write(&api).await?;
            }
            tokio::time::sleep(SETTLE).await;
            let used = tidegate.process.used().nanos - before;
            costs.push(micros(used, begun.elapsed(), resting) / f64::from(u32::try_from(each)?));
        }
        let api = arena.api("Ingress")?;
        let names = (round * each..(round + 1) * each).map(|number| format!("cost-{number}"));
        stream::iter(names).map(Ok::<_, anyhow::Error>).try_for_each(|name| delete(&api, name)).await?;
        restore(arena, round * each..(round + 1) * each, rows.size).await?;
    }
    for (kind, costs) in &costs {
        if let Some(spread) = Spread::of(costs.iter().copied()) {
            ensure!(spread.min > 0.0, "{kind}: the changes changed nothing");
            rows.add("cost", kind, tidegate.name, vec![("CPU µs", spread.median), ("least", spread.min), ("greatest", spread.max)], costs);
        }
    }
    if let Some(spread) = Spread::of(idle.iter().copied()) {
        rows.add(
            "cost",
            "a second of nothing",
            tidegate.name,
            vec![("CPU µs", spread.median), ("least", spread.min), ("greatest", spread.max)],
            &idle,
        );
    }
    Ok(())
}

/// Makes what was changed as it was at first: other suites ask for it.
async fn restore(arena: &Arena, numbers: std::ops::Range<usize>, size: usize) -> anyhow::Result<()> {
    let (ingresses, slices) = (arena.api("Ingress")?, arena.api("EndpointSlice")?);
    for number in numbers.map(|number| number % (size - 1)) {
        let rules = json!({"spec": {"rules": numbered_ingress(number).pointer("/spec/rules")}});
        Change::Merge(format!("ingress-{number}"), rules).write(&ingresses).await?;
        Change::Merge(format!("service-{number}"), old_slice(number)).write(&slices).await?;
    }
    Ok(())
}

async fn delete(api: &Api<DynamicObject>, name: String) -> anyhow::Result<()> {
    api.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}

/// Returns the share of a core that it uses while nothing changes.
async fn rate(subject: &Subject) -> f64 {
    let (before, begun) = (subject.process.used().nanos, Instant::now());
    tokio::time::sleep(IDLE).await;
    Duration::from_nanos(subject.process.used().nanos - before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// Returns what was used beyond rest.
fn micros(nanos: u64, elapsed: Duration, resting: f64) -> f64 {
    (Duration::from_nanos(nanos).as_secs_f64() - elapsed.as_secs_f64() * resting) * 1e6
}

/// A write.
enum Change {
    Create(Value),
    Merge(String, Value),
}

impl Change {
    async fn write(self, api: &Api<DynamicObject>) -> anyhow::Result<()> {
        match self {
            Self::Create(object) => create(api, object).await,
            Self::Merge(name, part) => {
                api.patch(&name, &PatchParams::default(), &Patch::Merge(part)).await?;
                Ok(())
            }
        }
    }
}

/// Makes changes of a kind beforehand; each differs from what was there.
fn prepare(arena: &Arena, kind: &str, numbers: std::ops::Range<usize>, size: usize) -> anyhow::Result<(Api<DynamicObject>, Vec<Change>)> {
    let (object, change): (_, Box<dyn Fn(usize) -> anyhow::Result<Change>>) = match kind {
        "Ingress added" => ("Ingress", Box::new(|number| Ok(Change::Create(added(number, size))))),
        "Ingress changed" => {
            ("Ingress", Box::new(|number| Ok(Change::Merge(format!("ingress-{}", number % (size - 1)), changed(number, size)))))
        }
        "slice changed" => (
            "EndpointSlice",
            Box::new(|number| {
                // Another port than any size before has written.
                let port = 20_000 + u16::try_from((size * 7 + number) % 40_000)?;
                Ok(Change::Merge(format!("service-{}", number % (size - 1)), slice(number % (size - 1), port)))
            }),
        ),
        _ => (
            "Secret",
            Box::new(|number| {
                let number = number % SECRETS;
                Ok(Change::Merge(format!("secret-{number}"), secret(number, &arena.certificate(number)?)))
            }),
        ),
    };
    Ok((arena.api(object)?, numbers.map(change).collect::<anyhow::Result<_>>()?))
}

fn added(number: usize, size: usize) -> Value {
    ingress(&format!("cost-{number}"), &format!("cost-{number}.bench.test"), "/", size - 1)
}

/// Another path for an Ingress; never the last, which is the one that is asked.
fn changed(number: usize, size: usize) -> Value {
    let service = number % (size - 1);
    let whole = ingress("", &host(service), &format!("/changed-{size}-{number}"), service);
    json!({"spec": {"rules": whole.pointer("/spec/rules")}})
}
