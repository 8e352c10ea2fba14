//! The `tidegate` binary: what must be set once for the process, and then the command.

use std::process::ExitCode;

use tidegate::args::Options;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Libraries that are given no provider of their own take this one. It fails only where one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tidegate::cli::run(Options::read())
}
