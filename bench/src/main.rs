//! The `tidegate-bench` program: the paired run, the gate, and what both start of it as processes of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidegate_bench::{backend, control, floor, gate, load, run, soak};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Tidegate beside nginx, `HAProxy`, Envoy, Traefik and a bare hyper forwarder, all in one paired run.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::RunOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the instructions of one request, and hold them against the budget
    Gate(gate::GateOptions),
    /// Measure changes of a cluster: how soon they serve, and what they cost
    Control(control::ControlOptions),
    /// List and decode what a cluster has, as a bare client does
    List {
        /// How the cluster is reached
        kubeconfig: PathBuf,
    },
    /// Swap the table thousands of times under load; fail if a request does, or if memory grows
    Soak(soak::SoakOptions),
    /// Serve as the bare hyper forwarder
    Floor(floor::FloorOptions),
    /// Serve as the backend
    Backend {
        /// Address to listen on
        address: SocketAddr,
    },
    /// Generate load
    Load {
        /// What to do, as JSON
        plan: String,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    match options.command {
        None => run::run(&options.run),
        Some(Command::Gate(options)) => gate::gate(&options),
        Some(Command::Control(options)) => return control::control(&options),
        Some(Command::List { kubeconfig }) => control::start::list(&kubeconfig),
        Some(Command::Soak(options)) => soak::soak(&options),
        Some(Command::Floor(options)) => floor::serve(&options),
        Some(Command::Backend { address }) => backend::serve(address),
        Some(Command::Load { plan }) => load::run(&plan),
    }?;
    Ok(ExitCode::SUCCESS)
}
