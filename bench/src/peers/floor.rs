//! The floor: this very program.

use std::process::Command;

use super::{Place, text};
use crate::process::{PROXY_CORE, pinned};

pub(super) fn command(place: &Place<'_>) -> anyhow::Result<Command> {
    let mut command = pinned(PROXY_CORE, &place.ground.tools.own);
    command
        .args(["floor", "--http", &place.http.to_string(), "--https", &place.https.to_string()])
        .args(["--upstream", &place.ground.upstream.to_string()])
        .args(["--certificate", text(&place.ground.certificate("bench.test")?)?]);
    if place.site.tickets {
        command.arg("--tickets");
    }
    Ok(command)
}
