//! One host of the table: its paths, compiled for look-up.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Route;
use crate::model::{Compatibility, HostMatch, PathMatch, RequestFacts};

/// What one host serves. Immutable; a change of any of its rules makes another.
pub struct Host {
    /// What it is called.
    pub name: HostMatch,
    /// Whose conventions hold.
    pub compatibility: Compatibility,
    /// Every route, strongest first.
    pub routes: Box<[Arc<Route>]>,
    /// What takes the paths that no rule does; `None` leaves them to the listener's fallback.
    pub default: Option<Arc<Route>>,
    /// Every path that can be told apart leads to all routes that match it, strongest first.
    paths: matchit::Router<Box<[Arc<Route>]>>,
}

impl Host {
    /// Finds the route of a path in normal form: the first candidate whose conditions hold.
    #[must_use]
    pub fn find(&self, path: &str, request: RequestFacts<'_>) -> Option<&Arc<Route>> {
        let candidates = self.paths.at(path).map(|found| found.value).ok();
        candidates.and_then(|candidates| candidates.iter().find(|route| route.conditions.hold(request))).or(self.default.as_ref())
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .field("routes", &self.routes)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

/// A route that another one already stands in place of: same path, same conditions, added before.
#[derive(Debug, Clone)]
pub struct Conflict {
    /// The route that serves.
    pub winner: Arc<Route>,
    /// The route that does not.
    pub loser: Arc<Route>,
}

/// Collects the routes of a host. Whoever is added first wins.
#[derive(Debug)]
pub struct HostBuilder {
    name: HostMatch,
    compatibility: Compatibility,
    routes: Vec<(PathMatch, Arc<Route>)>,
    default: Option<Arc<Route>>,
}

impl HostBuilder {
    /// Starts a host without routes.
    #[must_use]
    pub fn new(name: HostMatch, compatibility: Compatibility) -> Self {
        Self { name, compatibility, routes: Vec::new(), default: None }
    }

    /// Adds a route; one without a path becomes the host's default.
    ///
    /// # Errors
    /// The place is taken: the route is not added.
    pub fn add(&mut self, route: Arc<Route>) -> Result<(), Conflict> {
        let Some(path) = route.path.clone() else {
            if let Some(winner) = &self.default {
                return Err(Conflict { winner: Arc::clone(winner), loser: route });
            }
            self.default = Some(route);
            return Ok(());
        };
        let same = |known: &PathMatch| {
            matches!((known, &path), (PathMatch::Exact(_), PathMatch::Exact(_)) | (PathMatch::Prefix(_), PathMatch::Prefix(_)))
                && known.literal() == path.literal()
        };
        if let Some((_, winner)) = self.routes.iter().find(|(known, winner)| same(known) && winner.conditions == route.conditions) {
            return Err(Conflict { winner: Arc::clone(winner), loser: route });
        }
        self.routes.push((path, route));
        Ok(())
    }

    /// Compiles the host.
    ///
    /// # Errors
    /// The router refuses a path; that would be a fault of this crate, since all paths are escaped literals.
    pub fn build(mut self) -> Result<Host, matchit::InsertError> {
        // The sort is stable: among equals the one added first stays first.
        self.routes.sort_by_cached_key(|(path, route)| (path.precedence(), route.conditions.precedence()));
        let mut leaves = BTreeSet::new();
        for (path, _) in &self.routes {
            match path {
                PathMatch::Exact(_) => {
                    leaves.insert((path.literal().to_owned(), false));
                }
                PathMatch::Prefix(_) => {
                    if !path.literal().is_empty() {
                        leaves.insert((path.literal().to_owned(), false));
                    }
                    leaves.insert((format!("{}/", path.literal()), false));
                    leaves.insert((format!("{}/", path.literal()), true));
                }
            }
        }
        let mut paths = matchit::Router::new();
        for (literal, below) in leaves {
            // A path below a prefix is matched by every prefix that the prefix itself lies under; one more element stands for all.
            let sample = if below { format!("{literal}\u{0}") } else { literal.clone() };
            let candidates: Box<[_]> =
                self.routes.iter().filter(|(path, _)| path.matches(&sample)).map(|(_, route)| Arc::clone(route)).collect();
            let mut pattern = literal.replace('{', "{{").replace('}', "}}");
            if below {
                pattern.push_str("{*rest}");
            }
            paths.insert(pattern, candidates)?;
        }
        Ok(Host {
            name: self.name,
            compatibility: self.compatibility,
            routes: self.routes.into_iter().map(|(_, route)| route).collect(),
            default: self.default,
            paths,
        })
    }
}
