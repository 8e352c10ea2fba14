//! `tidegate serve`.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::app::{App, logging};
use crate::args::ServeOptions;
use crate::signal::Stops;

/// Serves until a signal comes.
///
/// # Errors
/// It cannot start, or the control plane failed.
pub(super) async fn run(options: ServeOptions) -> anyhow::Result<ExitCode> {
    logging::start(options.log);
    let mut stops = Stops::listen().context("cannot take signals over")?;
    App::bind(options)?.run(&mut stops, || ()).await
}
