//! What a change of the cluster costs, and how soon it serves: against a real API server, in a network namespace of the run's own.
//!
//! | module | what it is for |
//! |---|---|
//! | `arena` | the API server, its objects, and the backends |
//! | `subjects` | Tidegate and Traefik, started over the cluster or over a directory |
//! | `probe` | when a proxy's answer changes |
//! | `serving` | from a write to the first request that it serves, beside a bare watch |
//! | `cost` | processor time of a change |
//! | [`start`] | the start with everything there, beside a bare client |
//! | `report` | tables and raw data |

mod arena;
mod cost;
mod probe;
mod report;
mod serving;
pub mod start;
mod subjects;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use tidegate_tests::assets::{self, Assets};
use tidegate_tests::namespace::{self, Side};

use crate::peers::Peer;
use crate::peers::install::{Tools, versions};
use crate::report::machine;
use arena::Arena;
use report::{Report, Rows};
use subjects::Subject;

/// The control plane's programs, told to the process inside.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// What the run is given.
#[derive(Debug, Clone, clap::Args)]
pub struct ControlOptions {
    /// How many Ingresses there are, each with a host, a Service and an EndpointSlice of its own; ascending
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    sizes: Vec<usize>,
    /// Changes of each kind that are measured
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Suites to run [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Suite>,
    /// Where results are written, as NAME.md and NAME.json
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
    /// The results' name
    #[arg(long, value_name = "NAME", default_value = "control")]
    name: String,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The start with everything there, and memory after it
    Start,
    /// Processor time of a change of each kind
    Cost,
    /// From the write of an Ingress to the first request that it serves; quiet, and while endpoints change
    Serving,
    /// From the write of an EndpointSlice to the last request that the old endpoint gets
    Endpoints,
    /// Both through a directory of manifests
    Manifests,
    /// The first at Traefik
    Traefik,
}

/// Measures, and writes the results: in a process of its own inside the network namespace.
///
/// # Errors
/// Something cannot be installed or started, or a change never serves.
pub fn control(options: &ControlOptions) -> anyhow::Result<ExitCode> {
    ensure!(options.sizes.is_sorted() && !options.sizes.is_empty() && options.changes >= 5, "sizes ascend, and changes are at least 5");
    let wanted = |suite| options.only.is_empty() || options.only.contains(&suite);
    let peers: &[Peer] = if wanted(Suite::Traefik) { &[Peer::Tidegate, Peer::Traefik] } else { &[Peer::Tidegate] };
    // Whatever needs the machine's own network comes before the namespace.
    let tools = Tools::find(peers, false)?;
    let mut environment = Vec::new();
    if std::env::var_os(ASSETS).is_none() {
        let Assets::Directory(directory) = assets::find()? else { anyhow::bail!("a cluster is needed") };
        environment.push((ASSETS, text(&directory)?));
    }
    environment.push(("TIDEGATE_BINARY", text(&tools.tidegate)?));
    match namespace::enter(&environment)? {
        Side::Outside(code) => Ok(code),
        Side::Inside(directory) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
            let mut report = Report { machine: machine::describe(), versions: versions(&tools, peers), ..Report::default() };
            runtime.block_on(Box::pin(measure(options, &tools, &directory, &mut report)))?;
            report.machine.push(("load average at the end".to_owned(), machine::load_average()));
            report.write(&options.results, &options.name)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}

async fn measure(options: &ControlOptions, tools: &Tools, directory: &Path, report: &mut Report) -> anyhow::Result<()> {
    let wanted = |suite| options.only.is_empty() || options.only.contains(&suite);
    let assets = PathBuf::from(std::env::var_os(ASSETS).context(ASSETS)?);
    let mut arena = Box::pin(Arena::start(&assets, directory, tools)).await?;
    for &size in &options.sizes {
        arena.grow(size).await?;
        let rows = &mut Rows { size, report };
        if wanted(Suite::Start) {
            start::start(&arena, size, rows).await?;
        }
        if wanted(Suite::Cost) || wanted(Suite::Serving) || wanted(Suite::Endpoints) {
            let tidegate = Subject::tidegate(&arena, size).await?;
            if wanted(Suite::Cost) {
                Box::pin(cost::cost(&arena, &tidegate, options.changes, rows)).await?;
            }
            if wanted(Suite::Serving) {
                Box::pin(serving::ingresses(&arena, &tidegate, options.changes, serving::Churn::No, rows)).await?;
                Box::pin(serving::ingresses(&arena, &tidegate, options.changes, serving::Churn::Yes, rows)).await?;
            }
            if wanted(Suite::Endpoints) {
                Box::pin(serving::endpoints(&arena, &tidegate, options.changes, rows)).await?;
            }
            let memory = start::mebibytes(&tidegate);
            rows.add("start", "after all changes", tidegate.name, vec![("PSS MiB", memory)], &[]);
        }
        if wanted(Suite::Manifests) {
            let tidegate = Subject::directory(&arena, size).await?;
            Box::pin(serving::manifests(&tidegate, options.changes.min(50), rows)).await?;
        }
        if wanted(Suite::Traefik) {
            let traefik = Subject::traefik(&arena, size).await?;
            Box::pin(serving::ingresses(&arena, &traefik, options.changes.min(50), serving::Churn::No, rows)).await?;
        }
        // What was measured stays, whatever a larger size runs into.
        report.write(&options.results, &options.name)?;
    }
    Ok(())
}
