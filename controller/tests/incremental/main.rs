//! Random sequences of changes: after every few steps, what was kept up to date equals what is built from nothing.
//!
//! `TIDEGATE_SEED` repeats a run, `TIDEGATE_STEPS` makes it longer.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod events;
mod identity;
mod objects;
mod random;
mod seen;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidegate::object::{Kind, ObjectRef, SourceEvent};
use tidegate::reconcile::Reconciler;
use tidegate::snapshot::{Changes, PortRef, Snapshot};
use tidegate::translate::{DefaultBackend, Options, Translator};
use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;
use tokio::sync::mpsc;

use identity::Identity;
use objects::Objects;
use random::Random;
use seen::{Told, difference, from_nothing, seen};

const STEPS: usize = 12_000;

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

#[test]
fn what_is_kept_up_to_date_equals_what_is_built_from_nothing() {
    let seed = environment("TIDEGATE_SEED")
        .unwrap_or_else(|| u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap());
    let steps = environment("TIDEGATE_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    println!("TIDEGATE_SEED={seed} TIDEGATE_STEPS={steps}");
    let certificates = [(&["a.example.com"][..], 300), (&["*.example.com", "example.com"], 40), (&["b.example.com"], 10)];
    let certificates = certificates.iter().map(|(names, days)| support::certificate(names, *days)).collect();
    let mut objects = Objects { random: Random(seed), certificates };
    let mut step = 0;
    // Several worlds: flags differ between them, and none grows so full that nothing is new.
    while step < steps {
        let world = (steps - step).min(1_500);
        let options = Options {
            controllers: objects
                .random
                .of(&[
                    &["tidegate.dev/ingress-controller"][..],
                    &["k8s.io/ingress-nginx"],
                    &["tidegate.dev/ingress-controller", "k8s.io/ingress-nginx"],
                ])
                .iter()
                .map(|name| (*name).into())
                .collect(),
            class_by_name: objects.random.one_in(3),
            watch_without_class: objects.random.one_in(2),
            ingress_class: objects.random.one_in(2).then(|| objects.random.of(&["flagged", "other"]).into()),
            external_names: !objects.random.one_in(4),
            default_certificate: objects.random.one_in(2).then(|| ObjectRef::new(Kind::Secret, "shop", "cert")),
            default_backend: objects.random.one_in(2).then(|| DefaultBackend {
                service: ObjectRef::new(Kind::Service, "shop", "web"),
                port: objects.random.one_in(2).then_some(PortRef::Number(81)),
            }),
            ..support::options()
        };
        live(&mut objects, &options, world, &format!("TIDEGATE_SEED={seed} TIDEGATE_STEPS={steps}, step {step} and on"));
        step += world;
    }
}

fn live(objects: &mut Objects, options: &Options, steps: usize, which: &str) {
    let state = Arc::new(State::default());
    let mut snapshot = Snapshot::default();
    if let Some(secret) = &options.default_certificate {
        snapshot.pin_secret(secret);
    }
    let mut translator = Translator::new(options.clone(), Arc::clone(&state));
    let mut told = Told::default();
    let mut identity = Identity::default();
    let mut now = support::noon();
    for step in 0..steps {
        let before = objects.random.0;
        let mut changes = Changes::default();
        for _ in 0..=objects.random.below(3) {
            changes.merge(snapshot.apply(objects.event()));
        }
        let later = objects.random.one_in(50);
        if later {
            now += Duration::from_secs(86_400 * 5);
        }
        let update = translator.update(&snapshot, &changes, now);
        if let Some(names) = &update.external_names {
            snapshot.retain_names(names);
        }
        told.take(update);
        identity.check(&snapshot, &changes, told.table.as_ref().unwrap());
        // Building from nothing is what takes the time of this test.
        if objects.random.one_in(2) {
            continue;
        }
        let (kept, anew) = (seen(&told, &state), from_nothing(options, &snapshot, now));
        if kept != anew {
            objects.random.0 = before;
            let last: Vec<_> = (0..=objects.random.below(3)).map(|_| format!("{:?}", objects.event())).collect();
            let last = last.join("\n\n");
            panic!("{which}: step {step} of this world differs.\nLast events:\n{last}\n{}", difference(&kept, &anew));
        }
        if step % 8 == 0 {
            let loaded = Snapshot::load(&serde_json::to_vec(&snapshot.save()).unwrap()).unwrap();
            let loaded = from_nothing(options, &loaded, now);
            assert!(loaded == anew, "{which}: step {step} of this world differs when it is saved.\n{}", difference(&loaded, &anew));
        }
        assert_eq!(told.findings.iter().collect::<Vec<_>>(), translator.diagnostics().collect::<Vec<_>>(), "{which}: step {step}");
    }
}

/// The same through the loop, with what it publishes and what it tells its consumers.
#[tokio::test]
async fn a_reconciler_publishes_and_tells_what_is_built_from_nothing() {
    let seed = environment("TIDEGATE_SEED").unwrap_or(7);
    let mut objects = Objects { random: Random(seed), certificates: vec![support::certificate(&["*.example.com"], 395)] };
    let state = Arc::new(State::default());
    let options = Options { watch_without_class: true, ..support::options() };
    let mut reconciler = Reconciler::new(options.clone(), [], Arc::clone(&state));
    let mut outcomes = reconciler.subscribe();
    let (sender, mut events) = mpsc::channel(100);
    for kind in Kind::ALL {
        sender.send(SourceEvent::Replace { kind: *kind, namespace: None, objects: vec![] }).await.unwrap();
    }
    let publisher = Publisher::new(reconciler.first_table(&mut events).await.unwrap());
    let mut told = Told::default();
    for step in 0..400 {
        let changes: Vec<_> = (0..=objects.random.below(3)).map(|_| objects.event()).collect();
        reconciler.step(changes.into_iter(), &publisher);
        while let Ok(outcome) = outcomes.try_recv() {
            told.hear(&outcome);
        }
        told.table = Some(publisher.current().as_ref().clone());
        let (kept, anew) = (seen(&told, &state), from_nothing(&options, reconciler.snapshot(), SystemTime::now()));
        assert!(kept == anew, "TIDEGATE_SEED={seed}, step {step} differs.\n{}", difference(&kept, &anew));
    }
}
