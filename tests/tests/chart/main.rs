//! The Helm chart, with the real helm, a real API server, the controllers of Kubernetes, and Pods that run: what is rendered, what is
//! refused, and what an installed release does.
//!
//! helm and the control plane are built once with Go, as for the tests of a cluster. `TIDEGATE_TEST_CLUSTER=off` leaves these tests out,
//! and says so.

#![expect(clippy::indexing_slicing, reason = "a test may panic; JSON is indexed without one")]

mod adoption;
mod arguments;
mod ends;
mod install;
mod notes;
mod played;
mod refusals;
mod release;
mod rendered;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use libtest_mimic::Arguments;
use tidegate_tests::assets::{self, Assets};
use tidegate_tests::binary;
use tidegate_tests::cluster::Cluster;
use tidegate_tests::namespace::{self, Side};
use tidegate_tests::run::{self, Ground, Scenario};

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
                println!("\nThe tests of the chart ({}) were LEFT OUT, as TIDEGATE_TEST_CLUSTER=off asks.\n", all().len());
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
    let Assets::Directory(assets) = assets::find_with_controllers()? else { return Ok(None) };
    let helm = assets::helm()?.context("no helm")?;
    let text = |path: PathBuf| path.into_os_string().into_string().ok().context("a path is not UTF-8");
    Ok(Some(vec![("KUBEBUILDER_ASSETS", text(assets)?), ("TIDEGATE_TEST_HELM", text(helm)?), ("TIDEGATE_BINARY", text(binary::path()?)?)]))
}

fn inside(arguments: &Arguments, directory: &Path) -> anyhow::Result<ExitCode> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).with_context(|| name.to_owned());
    let (assets, helm) = (variable("KUBEBUILDER_ASSETS")?, variable("TIDEGATE_TEST_HELM")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    let cluster = runtime.block_on(async {
        let cluster = Arc::new(Cluster::start(&assets, &directory.join("control-plane")).await?);
        world::make(&cluster, &helm).await?;
        anyhow::Ok(cluster)
    })?;
    Ok(run::run(arguments, all(), &Ground::Cluster(cluster), runtime.handle()))
}

fn all() -> Vec<Scenario> {
    [rendered::all(), arguments::all(), refusals::all(), notes::all(), played::all(), install::all(), adoption::all(), ends::all()].concat()
}
