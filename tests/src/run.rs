//! Runs tests on sites: each gets one of its own, and what its Tidegates logged is shown when it fails.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Handle;
use tokio::sync::RwLock;

use crate::cluster::Cluster;
use crate::site::Site;

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A test, written once for whatever the objects of its site are in.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it shows, as a sentence, under its feature.
    pub name: &'static str,
    run: for<'a> fn(&'a Site) -> Running<'a>,
    /// Whether it must not run beside others: it stops what they need, or measures.
    alone: Alone,
}

/// Whether a test can run beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alone {
    No,
    Yes,
}

/// Where the objects of a run's tests are.
#[derive(Debug, Clone)]
pub enum Ground {
    /// All in one cluster.
    Cluster(Arc<Cluster>),
    /// In directories under this one.
    Directory(PathBuf),
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scenario {
    /// Names a test. The macro [`scenarios!`](macro@crate::scenarios) is easier.
    #[must_use]
    pub fn new(name: &'static str, run: for<'a> fn(&'a Site) -> Running<'a>) -> Self {
        Self { name, run, alone: Alone::No }
    }

    /// Keeps all other tests of the target from running at the same time.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { alone: Alone::Yes, ..self }
    }

    async fn on(self, ground: Ground, number: u8, turn: Arc<RwLock<()>>) -> Result<(), Failed> {
        let (_among, _alone);
        match self.alone {
            Alone::No => _among = turn.read().await,
            Alone::Yes => _alone = turn.write().await,
        }
        let site = match ground {
            Ground::Cluster(cluster) => Site::in_cluster(cluster, number, self.name).await,
            Ground::Directory(parent) => Site::in_directory(&parent, number).await,
        };
        let site = site.map_err(|error| format!("{error:#}"))?;
        // A panic, too, is to come with the logs.
        let problem = match AssertUnwindSafe((self.run)(&site)).catch_unwind().await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it panicked; the message stands above".to_owned(),
        };
        Err(format!("{problem}\n{}", site.logs()).into())
    }
}

/// Runs the tests that the arguments ask for.
pub fn run(arguments: &Arguments, scenarios: Vec<Scenario>, ground: &Ground, runtime: &Handle) -> ExitCode {
    let turn = Arc::new(RwLock::new(()));
    let trials = scenarios.into_iter().zip(1..=u8::MAX).map(|(scenario, number)| {
        let (ground, turn, runtime) = (ground.clone(), Arc::clone(&turn), runtime.clone());
        Trial::test(scenario.name, move || runtime.block_on(scenario.on(ground, number, turn)))
    });
    libtest_mimic::run(arguments, trials.collect()).exit_code()
}

/// Lists the tests without running any, nor making what they would need.
pub fn list(arguments: &Arguments, scenarios: Vec<Scenario>) -> ExitCode {
    let trials = scenarios.into_iter().map(|scenario| Trial::test(scenario.name, || Ok(())));
    libtest_mimic::run(arguments, trials.collect()).exit_code()
}

/// Makes a function `all` that returns the tests of a file. Each is an `async fn(&Site) -> anyhow::Result<()>`; those after `alone:`
/// run while no other does.
#[macro_export]
macro_rules! scenarios {
    ($feature:literal: $($name:ident),* $(,)? $(; alone: $($alone:ident),* $(,)?)?) => {
        /// Returns the tests of this feature.
        #[must_use]
        pub(crate) fn all() -> Vec<$crate::run::Scenario> {
            vec![
                $($crate::run::Scenario::new(concat!($feature, "::", stringify!($name)), |site| Box::pin($name(site))),)*
                $($($crate::run::Scenario::new(concat!($feature, "::", stringify!($alone)), |site| Box::pin($alone(site))).alone(),)*)?
            ]
        }
    };
}
