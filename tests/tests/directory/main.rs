//! Tidegate over a directory of manifests: the scenarios of the cluster, and editors' ways of writing. It needs no cluster, only a network
//! namespace, so that the addresses in the files are the run's own.

mod editing;

use std::process::ExitCode;

use anyhow::Context as _;
use libtest_mimic::Arguments;
use tidegate_tests::namespace::{self, Side};
use tidegate_tests::run::{self, Ground, Scenario};
use tidegate_tests::{binary, scenarios};

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    if arguments.list {
        return Ok(run::list(&arguments, all()));
    }
    let binary = binary::path()?.into_os_string().into_string().ok().context("the binary's path is not UTF-8")?;
    match namespace::enter(&[("TIDEGATE_BINARY", binary)])? {
        Side::Outside(code) => Ok(code),
        Side::Inside(directory) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
            Ok(run::run(&arguments, all(), &Ground::Directory(directory), runtime.handle()))
        }
    }
}

fn all() -> Vec<Scenario> {
    [scenarios::all(), editing::all()].concat()
}
