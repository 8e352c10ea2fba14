//! One host of the table: its paths, compiled for look-up.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use smallvec::SmallVec;

use super::Route;
use crate::model::{Compatibility, Conditions, HostMatch, PathMatch, RequestFacts};

/// What one host serves. Immutable; a change of any of its rules makes another. What a look-up needs stands first.
#[repr(C)]
pub struct Host {
    /// Where all other paths lead: to the rules of the prefix `/`.
    root: Option<u32>,
    /// Every path that can be told apart leads to the strongest rules that match it, by their place in `steps`. `None` where there is
    /// nothing to tell apart, as on most hosts: a router takes a kilobyte.
    paths: Option<Box<matchit::Router<u32>>>,
    /// Most hosts have one rule: it lies here, not behind a pointer that a request would have to follow.
    steps: SmallVec<[Step; 1]>,
    /// What takes the paths that no rule does; `None` leaves them to the listener's fallback.
    pub default: Option<Arc<Route>>,
    /// What it is called.
    pub name: HostMatch,
    /// Whose conventions hold.
    pub compatibility: Compatibility,
    /// Every route, strongest first; equally strong ones by path, then in the order in which they were added.
    pub routes: Box<[Arc<Route>]>,
}

/// The routes of one rule path, and where to go on when none of their conditions hold.
struct Step {
    /// The more demanding conditions first.
    routes: SmallVec<[Arc<Route>; 1]>,
    /// The longest prefix that also matches whatever this one does; always of a lower place. Links and not lists, so that deeply
    /// nested paths take no more memory than flat ones.
    shorter: Option<u32>,
}

impl Host {
    /// Finds the route of a path in normal form: the first candidate whose conditions hold.
    #[must_use]
    pub fn find(&self, path: &str, request: RequestFacts<'_>) -> Option<&Arc<Route>> {
        let found = self.paths.as_ref().and_then(|paths| paths.at(&without_braces(path)).map(|found| *found.value).ok());
        let mut at = found.or(self.root.filter(|_| path.starts_with('/')));
        while let Some(step) = at.and_then(|at| self.steps.get(usize::try_from(at).ok()?)) {
            if let Some(route) = step.routes.iter().find(|route| route.conditions.hold(request)) {
                return Some(route);
            }
            at = step.shorter;
        }
        self.default.as_ref()
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
    taken: HashMap<(PathMatch, Conditions), usize>,
    default: Option<Arc<Route>>,
}

impl HostBuilder {
    /// Starts a host without routes.
    #[must_use]
    pub fn new(name: HostMatch, compatibility: Compatibility) -> Self {
        Self { name, compatibility, routes: Vec::new(), taken: HashMap::new(), default: None }
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
        let place = (path.without_trailing_slash(), route.conditions.clone());
        if let Some((_, winner)) = self.taken.get(&place).and_then(|taken| self.routes.get(*taken)) {
            return Err(Conflict { winner: Arc::clone(winner), loser: route });
        }
        self.taken.insert(place, self.routes.len());
        self.routes.push((path, route));
        Ok(())
    }

    /// Compiles the host.
    ///
    /// # Errors
    /// The router refuses a path; that would be a fault of this crate, since all that it is given are distinct literals.
    pub fn build(mut self) -> Result<Host, matchit::InsertError> {
        // The sort is stable: among equals the one added first stays first.
        self.routes.sort_by_cached_key(|(path, route)| (path.precedence(), path.literal().to_owned(), route.conditions.precedence()));
        let (steps, mut leaves) = steps(&self.routes);
        let root = leaves.get_mut("/").and_then(|leaf| {
            let root = leaf.below.take()?;
            leaf.itself.take_if(|itself| *itself == root);
            Some(root)
        });
        leaves.retain(|_, leaf| leaf.itself.is_some() || leaf.below.is_some());
        let mut paths = (!leaves.is_empty()).then(Box::<matchit::Router<u32>>::default);
        for (literal, leaf) in leaves {
            let Some(paths) = &mut paths else { break };
            let pattern = without_braces(&literal);
            if let Some(step) = leaf.itself {
                paths.insert(pattern.clone(), step)?;
            }
            if let Some(step) = leaf.below {
                paths.insert(format!("{pattern}{{*rest}}"), step)?;
            }
        }
        Ok(Host {
            name: self.name,
            compatibility: self.compatibility,
            routes: self.routes.into_iter().map(|(_, route)| route).collect(),
            default: self.default,
            paths,
            root,
            steps,
        })
    }
}

/// Where a literal path leads.
#[derive(Default)]
struct Leaf {
    /// Where the literal itself leads.
    itself: Option<u32>,
    /// Where everything leads that begins with it.
    below: Option<u32>,
}

/// Links the rules of a host. They are sorted as precedence wants them, so that those of one path stand together.
fn steps(routes: &[(PathMatch, Arc<Route>)]) -> (SmallVec<[Step; 1]>, BTreeMap<String, Leaf>) {
    let mut rules: Vec<&[(PathMatch, Arc<Route>)]> =
        routes.chunk_by(|(a, _), (b, _)| a.without_trailing_slash() == b.without_trailing_slash()).collect();
    // Element by element (no path has a NUL), a prefix before the exact path of the same text: what contains others stands before them.
    let exact = |path: &PathMatch| matches!(path, PathMatch::Exact(_));
    rules.sort_by_cached_key(|rule| rule.first().map(|(path, _)| (path.literal().replace('/', "\0"), exact(path))));
    let mut steps = SmallVec::with_capacity(rules.len());
    let mut leaves: BTreeMap<String, Leaf> = BTreeMap::new();
    // The prefixes that the last rule lies under, the longest last.
    let mut around: Vec<(&PathMatch, u32)> = Vec::new();
    for rule in rules {
        let Some((path, _)) = rule.first() else { continue };
        while around.pop_if(|(prefix, _)| !prefix.matches(path.literal())).is_some() {}
        // A rule is some hundred bytes of an object: four thousand million have no room.
        let this = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        let shorter = around.last().map(|(_, step)| *step);
        steps.push(Step { routes: rule.iter().map(|(_, route)| Arc::clone(route)).collect(), shorter });
        let mut lead = |literal: &str, how: fn(&mut Leaf) -> &mut Option<u32>| match leaves.get_mut(literal) {
            Some(leaf) => *how(leaf) = Some(this),
            None => *how(leaves.entry(literal.to_owned()).or_default()) = Some(this),
        };
        if exact(path) {
            lead(path.literal(), |leaf| &mut leaf.itself);
        } else {
            let below = format!("{}/", path.literal());
            if !path.literal().is_empty() {
                lead(path.literal(), |leaf| &mut leaf.itself);
            }
            lead(&below, |leaf| &mut leaf.itself);
            lead(&below, |leaf| &mut leaf.below);
            around.push((path, this));
        }
    }
    (steps, leaves)
}

/// Spells a path in normal form without the braces that mean something to the router. No other path is spelt so, since in normal form
/// their escapes are decoded.
fn without_braces(path: &str) -> Cow<'_, str> {
    if path.bytes().any(|byte| matches!(byte, b'{' | b'}')) {
        Cow::Owned(path.replace('{', "%7B").replace('}', "%7D"))
    } else {
        Cow::Borrowed(path)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests;
