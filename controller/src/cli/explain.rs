//! `tidegate explain`: what becomes of a request, and why.

use std::process::ExitCode;

use super::look::{Look, written};
use crate::args::ExplainOptions;
use crate::explain::{Explanation, Question};

/// Explains a request. Ends with 0, whatever its answer would be.
///
/// # Errors
/// There is nothing to look at: says what is in the way.
pub(super) async fn run(options: ExplainOptions) -> anyhow::Result<ExitCode> {
    let ExplainOptions { url, method, header, client, output, look } = options;
    let question = Question { method, url, headers: header.into_iter().collect(), client };
    let explanation: Explanation = Look::open(&look).await?.json("/explain", Some(&question.query())).await?;
    match output.machine() {
        None => print!("{explanation}"),
        Some(machine) => print!("{}", written(&explanation, machine)?),
    }
    Ok(ExitCode::SUCCESS)
}
