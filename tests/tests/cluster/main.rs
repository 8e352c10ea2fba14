//! Tidegate against a real API server, with real backends, in a network namespace of the run's own.
//!
//! The control plane's programs are those of `KUBEBUILDER_ASSETS`, else built once with Go. `TIDEGATE_TEST_CLUSTER=off` leaves these
//! tests out, and says so.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

mod conditions;
mod crd;
mod forgotten;
mod install;
mod load;
mod outage;
mod rights;
mod slow;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use libtest_mimic::Arguments;
use tidegate_tests::assets::{self, Assets};
use tidegate_tests::cluster::Cluster;
use tidegate_tests::namespace::{self, Side};
use tidegate_tests::run::{self, Ground, Scenario};
use tidegate_tests::{binary, scenarios};

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    if arguments.list {
        return Ok(run::list(&arguments, all()));
    }
    let environment = match std::env::var_os("TIDEGATE_TEST_INSIDE") {
        Some(_) => Vec::new(),
        None => match outside()? {
            Some(environment) => environment,
            None => {
                println!("\nThe tests of a real cluster ({}) were LEFT OUT, as TIDEGATE_TEST_CLUSTER=off asks.\n", all().len());
                return Ok(ExitCode::SUCCESS);
            }
        },
    };
    match namespace::enter(&environment)? {
        Side::Outside(code) => Ok(code),
        Side::Inside(directory) => inside(&arguments, &directory),
    }
}

/// Makes what needs the machine's own network. `None` if the run is to do without a cluster.
fn outside() -> anyhow::Result<Option<Vec<(&'static str, String)>>> {
    let Assets::Directory(assets) = assets::find()? else { return Ok(None) };
    let text = |path: PathBuf| path.into_os_string().into_string().ok().context("a path is not UTF-8");
    Ok(Some(vec![("KUBEBUILDER_ASSETS", text(assets)?), ("TIDEGATE_BINARY", text(binary::path()?)?)]))
}

fn inside(arguments: &Arguments, directory: &std::path::Path) -> anyhow::Result<ExitCode> {
    let assets = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS").context("KUBEBUILDER_ASSETS")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let cluster = runtime.block_on(async {
        let cluster = Cluster::start(&assets, &directory.join("control-plane")).await?;
        install::install(&cluster).await?;
        anyhow::Ok(Arc::new(cluster))
    })?;
    Ok(run::run(arguments, all(), &Ground::Cluster(cluster), runtime.handle()))
}

fn all() -> Vec<Scenario> {
    [
        scenarios::all(),
        crd::all(),
        status::all(),
        conditions::all(),
        rights::all(),
        load::all(),
        outage::all(),
        slow::all(),
        forgotten::all(),
    ]
    .concat()
}
