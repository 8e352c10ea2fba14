//! Differences for people.

use std::fmt;

use serde_json::Value;

use super::{CertificateChange, Changes, Differences, RouteChange};
use crate::cli::columns::{backend, filters, object, text};

impl fmt::Display for Differences {
    /// Writes a line for each: `+` is new, `-` is gone, `~` is another; and what it was and is, if both.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { routes, certificates, diagnostics } = self;
        if self.is_empty() {
            return writeln!(f, "no difference");
        }
        section(f, "routes", routes, route)?;
        section(f, "certificates", certificates, certificate)?;
        section(f, "diagnostics", diagnostics, |f, sign, found| writeln!(f, "{sign} {found}"))
    }
}

fn section<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    changes: &Changes<T>,
    line: impl Fn(&mut fmt::Formatter<'_>, char, &T) -> fmt::Result,
) -> fmt::Result {
    if changes.is_empty() {
        return Ok(());
    }
    let Changes { gained, lost, changed } = changes;
    writeln!(f, "{name}: {} gained, {} lost, {} changed", gained.len(), lost.len(), changed.len())?;
    gained.iter().try_for_each(|change| line(f, '+', change))?;
    lost.iter().try_for_each(|change| line(f, '-', change))?;
    changed.iter().try_for_each(|change| line(f, '~', change))
}

fn route(f: &mut fmt::Formatter<'_>, sign: char, change: &RouteChange) -> fmt::Result {
    let RouteChange { listeners, host, path, old, new, what } = change;
    write!(f, "{sign} {host} {path} ({})", listeners.join(","))?;
    match (old, new) {
        (Some(old), Some(new)) => {
            writeln!(f, ": {}", what.join(", "))?;
            writeln!(f, "    was {}", led(old))?;
            writeln!(f, "    is  {}", led(new))
        }
        (Some(route), None) | (None, Some(route)) => writeln!(f, ": {}", led(route)),
        (None, None) => writeln!(f),
    }
}

/// Says where a route leads.
fn led(route: &Value) -> String {
    let filters = filters(route);
    let filters = if filters.is_empty() { filters } else { format!(", {filters}") };
    let conventions = text(route, "compatibility");
    let conventions = if conventions.is_empty() { String::new() } else { format!(", by the conventions of {conventions}") };
    format!("{} to {}{}{filters}{conventions}", object(route.get("origin")), backend(route), timeouts(route))
}

/// Names the timeouts of a route that are not the defaults.
fn timeouts(route: &Value) -> String {
    let defaults = [("connect_seconds", 5.0), ("read_seconds", 60.0), ("send_seconds", 60.0)];
    let timeouts = route.pointer("/backend/forward/timeouts");
    let others = defaults.iter().filter_map(|(name, default)| {
        let seconds = timeouts?.get(*name)?.as_f64()?;
        ((seconds - default).abs() > f64::EPSILON).then(|| format!(", {} {seconds} s", name.trim_end_matches("_seconds")))
    });
    others.collect()
}

fn certificate(f: &mut fmt::Formatter<'_>, sign: char, change: &CertificateChange) -> fmt::Result {
    let CertificateChange { listener, host, old, new } = change;
    write!(f, "{sign} {} ({listener})", host.as_deref().unwrap_or("all the rest"))?;
    let said = |certificate: &Value| {
        let fingerprint: String = text(certificate, "fingerprint").chars().take(16).collect();
        format!("{}, {fingerprint}, until {}", object(certificate.get("origin")), text(certificate, "not_after"))
    };
    match (old, new) {
        (Some(old), Some(new)) => write!(f, "\n    was {}\n    is  {}\n", said(old), said(new)),
        (Some(certificate), None) | (None, Some(certificate)) => writeln!(f, ": {}", said(certificate)),
        (None, None) => writeln!(f),
    }
}
