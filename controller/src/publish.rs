//! What is told back to the cluster: status of Ingresses and of class parameters, and Events, all by one replica alone, which a Lease elects.
//!
//! It consumes what changed ([`Outcome`]), never the whole, and nothing here is needed for serving: an API server that refuses or is away costs
//! what is told, no request.

mod addresses;
mod conditions;
mod event;
mod failure;
#[cfg(test)]
mod fake;
pub mod findings;
mod lease;
mod nodes;
mod pacing;
mod said;
mod status;

use std::sync::Arc;

use kube::Client;
use tokio::sync::mpsc;

pub use self::addresses::Addresses;
pub use self::lease::{Election, identity};
use crate::metrics::Control;
use crate::reconcile::Outcome;

/// What the command line says about telling back.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Lease that elects the replica that writes: namespace and name. Each installation in a cluster has its own.
    pub lease: (Arc<str>, Arc<str>),
    /// The namespaces that Ingresses are watched in; empty is all.
    pub namespaces: Vec<Arc<str>>,
    /// Where the addresses in status come from.
    pub addresses: Addresses,
    /// Whether the status of Ingresses is written.
    pub status: Status,
    /// Whether the conditions of `ClassParameters` are written.
    pub conditions: Status,
    /// Where it is noted whether this replica leads.
    pub control: Arc<Control>,
}

/// Whether status is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is.
    Written,
    /// It is left to another controller.
    Left,
}

/// Tells back until `stop` resolves, then hands the Lease over.
pub async fn run(client: Client, options: Options, outcomes: [mpsc::UnboundedReceiver<Arc<Outcome>>; 3], stop: impl Future<Output = ()>) {
    let Options { lease: (namespace, name), namespaces, addresses, status, conditions, control } = options;
    let [for_status, for_conditions, for_events] = outcomes;
    let election = Election::new(&client, &namespace, &name, identity());
    let leadership = election.leadership();
    let manager = status::manager(&namespace, &name);
    let reporter = election.identity().to_owned();
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let writers = async {
        let write_status = async {
            match status {
                Status::Written => {
                    let published = addresses.follow(&client);
                    let writer = status::Writer::new(client.clone(), namespaces, manager.clone(), leadership.clone());
                    writer.run(for_status, published).await;
                }
                Status::Left => drop(for_status),
            }
        };
        let write_conditions = async {
            match conditions {
                Status::Written => conditions::Writer::new(&client, manager.clone(), leadership.clone()).run(for_conditions).await,
                Status::Left => drop(for_conditions),
            }
        };
        let record = event::Recorder::new(client.clone(), reporter, leadership.clone()).run(for_events);
        let note = async {
            let mut own = leadership.clone();
            control.leads(&name, own.leads());
            while own.changed().await.is_ok() {
                control.leads(&name, own.leads());
            }
        };
        tokio::join!(write_status, write_conditions, record, note);
    };
    let telling = async {
        tokio::select! {
            () = writers => {}
            () = stop => {}
        }
        // The writers are gone by now: nobody writes without the Lease.
        control.leads(&name, false);
        drop(release);
    };
    tokio::join!(telling, election.run(async { drop(released.await) }));
}
