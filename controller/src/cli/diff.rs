//! `tidegate diff`: how two sets of objects are served differently.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use super::columns::{all_certificates, elements, path, text};
use super::list::List;
use super::look::{Look, written};
use crate::args::{DiffOptions, Side};
use crate::diagnostic::{Diagnostic, Finding};
use crate::object::Kind;

/// What of a route says where it leads and how; the rest says which requests it takes.
const CONTENT: &[&str] = &["origin", "backend", "filters", "compatibility"];

/// All differences.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Differences {
    routes: Changes<RouteChange>,
    certificates: Changes<CertificateChange>,
    diagnostics: Changes<Diagnostic>,
}

/// What is new, what is gone, and what is there still and another.
#[derive(Debug, PartialEq, Serialize)]
struct Changes<T> {
    gained: Vec<T>,
    lost: Vec<T>,
    changed: Vec<T>,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self { gained: Vec::new(), lost: Vec::new(), changed: Vec::new() }
    }
}

impl<T> Changes<T> {
    fn is_empty(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty() && self.changed.is_empty()
    }

    /// Returns where something belongs that was and is so.
    fn list<V>(&mut self, was: Option<&V>, is: Option<&V>) -> &mut Vec<T> {
        match (was, is) {
            (None, _) => &mut self.gained,
            (Some(_), None) => &mut self.lost,
            (Some(_), Some(_)) => &mut self.changed,
        }
    }
}

/// A route that is not on both sides as it is on one.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct RouteChange {
    /// The listeners that this is about.
    listeners: Vec<String>,
    host: String,
    /// `Exact /x`, `Prefix /x`, or `default`.
    path: String,
    /// What it was; `None` where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    /// What it is; `None` where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Value>,
    /// What of it has changed: `origin`, `backend`, `filters`, `compatibility`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    what: Vec<&'static str>,
}

/// A certificate that is not on both sides as it is on one.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct CertificateChange {
    listener: String,
    /// The server names; `None` is the default certificate.
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Value>,
}

/// What one side serves.
#[derive(Debug)]
struct Served {
    routes: Value,
    certificates: Value,
    diagnostics: BTreeSet<Diagnostic>,
}

/// Prints how two sides differ. Ends with 0 where they do not, and with 1 where they do.
///
/// # Errors
/// One of them cannot be looked at: says which, and what is in the way.
pub(super) async fn run(options: DiffOptions) -> anyhow::Result<ExitCode> {
    let old = served(&options, &options.old).await.context("OLD")?;
    let new = served(&options, &options.new).await.context("NEW")?;
    let differences = Differences::between(&old, &new);
    match options.output.machine() {
        None => print!("{differences}"),
        Some(machine) => print!("{}", written(&differences, machine)?),
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn served(options: &DiffOptions, side: &Side) -> anyhow::Result<Served> {
    let look = Look::open(&options.look(side)).await?;
    let findings: Vec<Finding> = look.json(List::Diagnostics.page(), None).await?;
    let root = if let Side::Manifests(path) = side { path.to_str() } else { None };
    Ok(Served {
        routes: look.json(List::Routes.page(), None).await?,
        certificates: look.json(List::Certificates.page(), None).await?,
        diagnostics: findings.into_iter().map(|finding| within(root, finding.diagnostic)).collect(),
    })
}

/// Names a file as it is called within its directory, so that the same file of another directory is the same.
fn within(root: Option<&str>, mut found: Diagnostic) -> Diagnostic {
    if found.object.kind == Kind::File
        && let Some(rest) = root.and_then(|root| found.object.name.strip_prefix(root))
    {
        found.object.name = rest.trim_start_matches('/').into();
    }
    found
}

impl Differences {
    fn between(old: &Served, new: &Served) -> Self {
        let diagnostics = Changes {
            gained: new.diagnostics.difference(&old.diagnostics).cloned().collect(),
            lost: old.diagnostics.difference(&new.diagnostics).cloned().collect(),
            changed: Vec::new(),
        };
        Self { routes: routes(&old.routes, &new.routes), certificates: certificates(&old.certificates, &new.certificates), diagnostics }
    }

    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.certificates.is_empty() && self.diagnostics.is_empty()
    }
}

/// Returns the routes of each listener by the requests that they take.
fn by_request(routes: &Value) -> BTreeMap<(String, String), &Value> {
    let mut all = BTreeMap::new();
    for route in elements(routes) {
        let mut request = route.clone();
        if let Some(fields) = request.as_object_mut() {
            fields.retain(|name, _| name != "listeners" && !CONTENT.contains(&&**name));
        }
        for listener in route.get("listeners").into_iter().flat_map(elements).filter_map(Value::as_str) {
            all.insert((request.to_string(), listener.to_owned()), route);
        }
    }
    all
}

fn content(route: &Value) -> Value {
    let fields = CONTENT.iter().filter_map(|field| Some(((*field).to_owned(), route.get(*field)?.clone())));
    fields.collect::<serde_json::Map<_, _>>().into()
}

fn routes(old: &Value, new: &Value) -> Changes<RouteChange> {
    let (old, new) = (by_request(old), by_request(new));
    let mut changes = Changes::<RouteChange>::default();
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (old.get(key), new.get(key));
        let Some(route) = is.or(was) else { continue };
        let (before, after) = (was.map(|route| content(route)), is.map(|route| content(route)));
        if before == after {
            continue;
        }
        let what = match (&before, &after) {
            (Some(before), Some(after)) => CONTENT.iter().copied().filter(|field| before.get(*field) != after.get(*field)).collect(),
            (Some(_) | None, None) | (None, Some(_)) => Vec::new(),
        };
        let host = if route.get("fallback").is_some() { "all the rest" } else { text(route, "host") };
        let list = changes.list(was, is);
        let change =
            RouteChange { listeners: vec![key.1.clone()], host: host.to_owned(), path: path(route), old: before, new: after, what };
        // Two listeners that serve it alike follow one another.
        let same = |last: &&mut RouteChange| RouteChange { listeners: last.listeners.clone(), ..change.clone() } == **last;
        match list.last_mut().filter(same) {
            Some(last) => last.listeners.push(key.1.clone()),
            None => list.push(change),
        }
    }
    changes
}

fn certificates(old: &Value, new: &Value) -> Changes<CertificateChange> {
    let by_host = |page| {
        // What is made at every start differs at every start, and means the same.
        let kept = |certificate: &Value| certificate.get("origin").map(|origin| text(origin, "kind")) != Some("SelfSigned");
        let all = all_certificates(page).into_iter().filter(|(_, _, certificate)| kept(certificate));
        all.map(|(listener, host, certificate)| ((host, listener), certificate)).collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (by_host(old), by_host(new));
    let mut changes = Changes::default();
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (was, is) = (old.get(key), new.get(key));
        if was == is {
            continue;
        }
        let value = |certificate: Option<&&Value>| certificate.map(|certificate| (**certificate).clone());
        let change = CertificateChange { listener: key.1.to_owned(), host: key.0.map(str::to_owned), old: value(was), new: value(is) };
        changes.list(was, is).push(change);
    }
    changes
}

#[cfg(test)]
#[path = "diff/tests.rs"]
mod tests;
