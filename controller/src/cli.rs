//! The subcommands of the binary.

mod check;
mod columns;
mod diff;
pub mod echo;
mod explain;
mod list;
mod look;
mod quickstart;
mod serve;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Command, DiffOptions, EchoOptions, ListOptions, Options, OutputFormat};
use crate::signal::Stops;
use list::List;

/// Does what the command line asks for, and returns what the process ends with: 0 when all is well, 1 when it failed (which is then
/// said on standard error). Wrong usage ended with 2 before.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let result = match options.command {
        Command::Serve(options) => runtime().and_then(|runtime| runtime.block_on(serve::run(*options))),
        Command::Check(options) => check::run(&options),
        Command::Explain(options) => runtime().and_then(|runtime| runtime.block_on(explain::run(*options))),
        Command::Routes(options) => listed(List::Routes, *options),
        Command::Certs(options) => listed(List::Certificates, *options),
        Command::Backends(options) => listed(List::Backends, *options),
        Command::Diagnostics(options) => listed(List::Diagnostics, *options),
        Command::Diff(options) => Ok(diff(*options)),
        Command::Quickstart(options) => runtime().and_then(|runtime| runtime.block_on(quickstart::run(options))),
        Command::Echo(options) => runtime().and_then(|runtime| runtime.block_on(echo(options))),
        Command::Version(options) => {
            println!("{}", version(options.output));
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn listed(list: List, options: ListOptions) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(list::run(list, options))
}

/// Trouble ends it with 2, since 1 says that there are differences.
fn diff(options: DiffOptions) -> ExitCode {
    let result = runtime().and_then(|runtime| runtime.block_on(diff::run(options)));
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// Returns what `version` prints: a line for people, or a document with a field for each thing that can be told.
fn version(output: OutputFormat) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match output {
        OutputFormat::Text => format!("tidegate {version}"),
        OutputFormat::Json => serde_json::json!({ "version": version }).to_string(),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Few threads: what is heavy, requests, runs on the workers.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("cannot start the threads")
}

async fn echo(options: EchoOptions) -> anyhow::Result<ExitCode> {
    let mut stops = Stops::listen().context("cannot take signals over")?;
    let server = echo::EchoServer::bind(&options.into())?;
    for url in server.urls()? {
        println!("listening on {url}");
    }
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut serving = tokio::spawn(server.serve(async {
        // A sender that is gone stops as well.
        let _ = stopped.await;
    }));
    tokio::select! {
        ended = &mut serving => return ended.context("the server panicked")?.map(|()| ExitCode::SUCCESS),
        _ = stops.next() => drop(stop),
    }
    tokio::select! {
        ended = serving => ended.context("the server panicked")?.map(|()| ExitCode::SUCCESS),
        _ = stops.next() => Ok(ExitCode::FAILURE),
    }
}
