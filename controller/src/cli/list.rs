//! `tidegate routes`, `certs`, `backends`, `diagnostics`: the pages of the same content, as tables for people or as they are.

use std::process::ExitCode;

use serde_json::Value;

use super::columns::{self, Table};
use super::look::{Look, written};
use crate::args::ListOptions;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Routes,
    Certificates,
    Backends,
    Diagnostics,
}

impl List {
    pub(super) fn page(self) -> &'static str {
        match self {
            Self::Routes => "/routes",
            Self::Certificates => "/certificates",
            Self::Backends => "/backends",
            Self::Diagnostics => "/diagnostics",
        }
    }

    fn table(self, page: &Value) -> Table {
        match self {
            Self::Routes => columns::routes(page),
            Self::Certificates => columns::certificates(page),
            Self::Backends => columns::backends(page),
            Self::Diagnostics => columns::diagnostics(page),
        }
    }
}

/// Prints a list. Ends with 0, however long it is.
///
/// # Errors
/// There is nothing to look at: says what is in the way.
pub(super) async fn run(list: List, options: ListOptions) -> anyhow::Result<ExitCode> {
    let page: Value = Look::open(&options.look).await?.json(list.page(), None).await?;
    match options.output.machine() {
        None => print!("{}", list.table(&page)),
        Some(machine) => print!("{}", written(&page, machine)?),
    }
    Ok(ExitCode::SUCCESS)
}
