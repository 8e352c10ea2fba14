//! The routes of a table as a list.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use tidegate_proxy::model::{Conditions, HostMatch, PathMatch};
use tidegate_proxy::table::{HostMatchDump, RouteDump, TableDump};

/// A route, and where it is served.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RouteRow {
    /// The listeners that serve it alike.
    listeners: Vec<Arc<str>>,
    /// The host that it is served for.
    #[serde(flatten)]
    host: HostMatchDump,
    /// What is done with its requests. Without a path it is a default backend.
    #[serde(flatten)]
    route: RouteDump,
    /// Whether it takes what no host does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fallback: bool,
}

/// Returns the routes of a table, in the order in which it looks at them. What two listeners serve alike stands there once.
pub(super) fn rows(table: TableDump) -> Vec<RouteRow> {
    let mut rows = Vec::new();
    let mut known: HashMap<(HostMatch, Option<PathMatch>, Conditions, bool), Vec<usize>> = HashMap::new();
    for listener in table.listeners {
        let of_hosts = listener.hosts.into_iter().flat_map(|host| {
            let name = host.host;
            host.routes.into_iter().chain(host.default).map(move |route| (name.clone(), route, false))
        });
        let any = HostMatchDump::of(HostMatch::Any);
        for (host, route, fallback) in of_hosts.chain(listener.fallback.map(|route| (any, route, true))) {
            // The host of the rule stands beside it only where it is another.
            let route = RouteDump { host: None, ..route };
            let alike = known.entry((host.host.clone(), route.path.clone(), route.conditions.clone(), fallback)).or_default();
            let same = alike.iter().copied().find(|at| rows.get(*at).is_some_and(|row: &RouteRow| row.route == route));
            match same.and_then(|at| rows.get_mut(at)) {
                Some(row) => row.listeners.push(Arc::clone(&listener.name)),
                None => {
                    alike.push(rows.len());
                    rows.push(RouteRow { listeners: vec![Arc::clone(&listener.name)], host, route, fallback });
                }
            }
        }
    }
    rows
}
