//! One host of the table: its paths, compiled for look-up.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Route;
use crate::model::{Compatibility, Conditions, HostMatch, PathMatch, RequestFacts};

/// What one host serves. Immutable; a change of any of its rules makes another.
pub struct Host {
    /// What it is called.
    pub name: HostMatch,
    /// Whose conventions hold.
    pub compatibility: Compatibility,
    /// Every route, strongest first; equally strong ones by path, then in the order in which they were added.
    pub routes: Box<[Arc<Route>]>,
    /// What takes the paths that no rule does; `None` leaves them to the listener's fallback.
    pub default: Option<Arc<Route>>,
    /// Every path that can be told apart leads to the strongest rules that match it, by their place in `steps`. `None` where there is
    /// nothing to tell apart, as on most hosts: a router takes a kilobyte.
    paths: Option<Box<matchit::Router<usize>>>,
    /// Where all other paths lead: to the rules of the prefix `/`.
    root: Option<usize>,
    steps: Box<[Step]>,
}

/// The routes of one rule path, and where to go on when none of their conditions hold.
struct Step {
    /// The more demanding conditions first.
    routes: Vec<Arc<Route>>,
    /// The longest prefix that also matches whatever this one does; always of a lower place. Links and not lists, so that deeply
    /// nested paths take no more memory than flat ones.
    shorter: Option<usize>,
}

impl Host {
    /// Finds the route of a path in normal form: the first candidate whose conditions hold.
    #[must_use]
    pub fn find(&self, path: &str, request: RequestFacts<'_>) -> Option<&Arc<Route>> {
        let found = self.paths.as_ref().and_then(|paths| paths.at(&without_braces(path)).map(|found| *found.value).ok());
        let mut at = found.or(self.root.filter(|_| path.starts_with('/')));
        while let Some(step) = at.and_then(|at| self.steps.get(at)) {
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
        let mut paths = (!leaves.is_empty()).then(Box::<matchit::Router<usize>>::default);
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
            steps: steps.into(),
        })
    }
}

/// Where a literal path leads.
#[derive(Default)]
struct Leaf {
    /// Where the literal itself leads.
    itself: Option<usize>,
    /// Where everything leads that begins with it.
    below: Option<usize>,
}

/// Links the rules of a host. They are sorted as precedence wants them, so that those of one path stand together.
fn steps(routes: &[(PathMatch, Arc<Route>)]) -> (Vec<Step>, BTreeMap<String, Leaf>) {
    let mut rules: Vec<&[(PathMatch, Arc<Route>)]> =
        routes.chunk_by(|(a, _), (b, _)| a.without_trailing_slash() == b.without_trailing_slash()).collect();
    // Element by element (no path has a NUL), a prefix before the exact path of the same text: what contains others stands before them.
    let exact = |path: &PathMatch| matches!(path, PathMatch::Exact(_));
    rules.sort_by_cached_key(|rule| rule.first().map(|(path, _)| (path.literal().replace('/', "\0"), exact(path))));
    let mut steps = Vec::with_capacity(rules.len());
    let mut leaves: BTreeMap<String, Leaf> = BTreeMap::new();
    // The prefixes that the last rule lies under, the longest last.
    let mut around: Vec<(&PathMatch, usize)> = Vec::new();
    for rule in rules {
        let Some((path, _)) = rule.first() else { continue };
        while around.pop_if(|(prefix, _)| !prefix.matches(path.literal())).is_some() {}
        let this = steps.len();
        let shorter = around.last().map(|(_, step)| *step);
        steps.push(Step { routes: rule.iter().map(|(_, route)| Arc::clone(route)).collect(), shorter });
        let mut lead = |literal: &str, how: fn(&mut Leaf) -> &mut Option<usize>| match leaves.get_mut(literal) {
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
pub(super) mod tests {
    use super::*;
    use crate::error::Reason;
    use crate::model::{HeaderCondition, Origin};
    use crate::table::Backend;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use proptest::prelude::*;

    /// Makes a route of this name.
    pub(crate) fn route(name: &str, path: Option<PathMatch>, conditions: Conditions) -> Arc<Route> {
        Arc::new(Route {
            origin: Arc::new(Origin::new("Rule", "", name)),
            host: HostMatch::Any,
            path,
            conditions,
            compatibility: Compatibility::Native,
            filters: Box::default(),
            backend: Backend::Unavailable(Reason::NoEndpoints),
            series: Arc::default(),
        })
    }

    /// Reads `= /exact` and `/prefix`.
    pub(crate) fn path(text: &str) -> PathMatch {
        match text.strip_prefix("= ") {
            Some(exact) => PathMatch::Exact(exact.parse().unwrap()),
            None => PathMatch::Prefix(text.parse().unwrap()),
        }
    }

    fn host(paths: &[&str]) -> Host {
        let mut builder = HostBuilder::new(HostMatch::Any, Compatibility::Native);
        for text in paths {
            builder.add(route(text, Some(path(text)), Conditions::default())).unwrap();
        }
        builder.build().unwrap()
    }

    /// Returns the name of the route that takes a `GET` of this path.
    fn found(host: &Host, path: &str) -> Option<String> {
        let request = RequestFacts { method: &Method::GET, headers: &HeaderMap::new(), query: None };
        host.find(path, request).map(|route| route.origin.name.to_string())
    }

    /// <https://kubernetes.io/docs/concepts/services-networking/ingress/#examples>
    #[test]
    fn the_examples_of_the_kubernetes_reference_hold() {
        for (paths, request, taken_by) in [
            (&["/"][..], "/", Some("/")),
            (&["/"], "/any/path", Some("/")),
            (&["= /foo"], "/foo", Some("= /foo")),
            (&["= /foo"], "/bar", None),
            (&["= /foo"], "/foo/", None),
            (&["= /foo/"], "/foo", None),
            (&["= /foo/"], "/foo/", Some("= /foo/")),
            (&["/foo"], "/foo", Some("/foo")),
            (&["/foo"], "/foo/", Some("/foo")),
            (&["/foo/"], "/foo", Some("/foo/")),
            (&["/foo/"], "/foo/", Some("/foo/")),
            (&["/aaa/bb"], "/aaa/bbb", None),
            (&["/aaa/bbb"], "/aaa/bbb", Some("/aaa/bbb")),
            (&["/aaa/bbb/"], "/aaa/bbb", Some("/aaa/bbb/")),
            (&["/aaa/bbb"], "/aaa/bbb/", Some("/aaa/bbb")),
            (&["/aaa/bbb"], "/aaa/bbb/ccc", Some("/aaa/bbb")),
            (&["/aaa/bbb"], "/aaa/bbbxyz", None),
            (&["/", "/aaa"], "/aaa/ccc", Some("/aaa")),
            (&["/", "/aaa", "/aaa/bbb"], "/aaa/bbb", Some("/aaa/bbb")),
            (&["/", "/aaa", "/aaa/bbb"], "/ccc", Some("/")),
            (&["/aaa"], "/ccc", None),
            (&["/foo", "= /foo"], "/foo", Some("= /foo")),
            (&["/foo", "= /foo"], "/foo/", Some("/foo")),
            (&["= /foo", "= /foo/", "/"], "/foo/", Some("= /foo/")),
            (&["= /", "/"], "/", Some("= /")),
            (&["= /"], "/a", None),
        ] {
            assert_eq!(found(&host(paths), request).as_deref(), taken_by, "{request} of {paths:?}");
        }
    }

    #[test]
    fn braces_and_letters_of_every_script_stand_for_themselves() {
        let host = host(&["/{id}", "= /{*rest}", "/{{", "/}", "= /\u{e9}", "/\u{e8}/\u{1f980}", "/%FF"]);
        for (request, taken_by) in [
            ("/{id}", Some("/{id}")),
            ("/{id}/x", Some("/{id}")),
            ("/7", None),
            ("/{*rest}", Some("= /{*rest}")),
            ("/{{/{", Some("/{{")),
            ("/{", None),
            ("/}", Some("/}")),
            ("/\u{e9}", Some("= /\u{e9}")),
            ("/\u{e8}/\u{1f980}/x", Some("/\u{e8}/\u{1f980}")),
            ("/%FF/x", Some("/%FF")),
        ] {
            assert_eq!(found(&host, request).as_deref(), taken_by, "{request}");
        }
    }

    #[test]
    fn the_first_of_a_path_wins_and_a_trailing_slash_of_a_prefix_makes_no_other() {
        let mut builder = HostBuilder::new(HostMatch::Any, Compatibility::Native);
        let mut add =
            |name, text| builder.add(route(name, Some(path(text)), Conditions::default())).map_err(|c| c.winner.origin.name.to_string());
        assert_eq!(add("a", "/foo/"), Ok(()));
        assert_eq!(add("b", "/foo"), Err("a".to_owned()));
        assert_eq!(add("c", "= /foo"), Ok(()));
        assert_eq!(add("d", "= /foo/"), Ok(()));
        assert_eq!(add("e", "= /foo"), Err("c".to_owned()));
        assert_eq!(add("f", "/"), Ok(()));
        assert_eq!(add("g", "//"), Err("f".to_owned()));
    }

    #[test]
    fn the_order_of_adding_does_not_show_where_it_decides_nothing() {
        let names = |paths: &[&str]| host(paths).routes.iter().map(|route| route.origin.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&["/b", "= /c", "/a", "= /d", "/aa"]), ["= /c", "= /d", "/aa", "/a", "/b"]);
        assert_eq!(names(&["/aa", "/a", "/b", "= /d", "= /c"]), ["= /c", "= /d", "/aa", "/a", "/b"]);
    }

    #[test]
    fn ten_thousand_paths_are_built_in_well_under_a_second() {
        let paths: Vec<String> = (0..10_000).map(|i| format!("/shop/{}/items/{i}", i % 100)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let before = processor_time();
        let host = host(&paths);
        let took = processor_time() - before;
        assert_eq!(found(&host, "/shop/42/items/4242/x").as_deref(), Some("/shop/42/items/4242"));
        assert!(took.as_secs() < 2, "{took:?}; 0.3 s without optimisation are usual");
    }

    /// What this thread has had of the processor: the clock on the wall runs for others too.
    fn processor_time() -> std::time::Duration {
        let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        std::time::Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
    }

    #[test]
    fn a_thousand_paths_within_one_another_can_be_built_asked_and_dropped() {
        let deep = "/aaa".repeat(1024);
        let host = host(&(1..=1024).map(|elements| deep.split_at(elements * 4).0).collect::<Vec<_>>());
        assert_eq!(found(&host, &format!("{deep}/x")).as_deref(), Some(&*deep));
        drop(host);
        assert!(format!("{deep}a").parse::<crate::model::NormalPath>().is_err(), "longer paths are none of a rule's");
    }

    fn conditions() -> impl Strategy<Value = Conditions> {
        let header = |value| HeaderCondition { name: HeaderName::from_static("x"), value: HeaderValue::from_static(value) };
        let headers = prop::sample::subsequence(vec![header("1"), header("2")], 0..=2);
        (prop::option::of(Just(Method::PUT)), headers).prop_map(|(method, headers)| Conditions { method, headers, query: Vec::new() })
    }

    /// Rules over few elements, so that they nest and collide.
    pub(crate) fn rules(most: usize) -> impl Strategy<Value = Vec<(String, Conditions)>> {
        let conditions = prop_oneof![3 => Just(Conditions::default()), 1 => conditions()];
        prop::collection::vec((rule_path(), conditions), 0..most)
    }

    fn rule_path() -> impl Strategy<Value = String> {
        (prop::bool::ANY, request_path()).prop_map(|(exact, path)| if exact { format!("= {path}") } else { path })
    }

    pub(crate) fn request_path() -> impl Strategy<Value = String> {
        let element =
            prop::sample::select(vec!["", "a", "b", "ab", "{a}", "{*a}", "}{", "a{", "\u{e9}", "\u{e8}", "%2F", "%FF", "*", ":a"]);
        prop::collection::vec(element, 0..5)
            .prop_map(|elements| crate::model::normalize(&format!("/{}", elements.join("/"))).unwrap().path.into_owned())
    }

    /// Finds the route as the rules are worded: of all routes that match, the strongest, among equals the one added first.
    pub(crate) fn oracle<'r>(routes: &'r [Arc<Route>], path: &str, request: RequestFacts<'_>) -> Option<&'r Arc<Route>> {
        let matching =
            routes.iter().filter(|route| route.path.as_ref().is_some_and(|rule| rule.matches(path)) && route.conditions.hold(request));
        matching.min_by_key(|route| (route.path.as_ref().unwrap().precedence(), route.conditions.precedence()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn look_up_finds_what_scanning_all_rules_finds(
            rules in rules(24),
            paths in prop::collection::vec(request_path(), 1..24),
            put in prop::bool::ANY,
            values in prop::sample::subsequence(vec!["1", "2"], 0..=2),
            with_default in prop::bool::ANY,
        ) {
            let mut builder = HostBuilder::new(HostMatch::Any, Compatibility::Native);
            let mut added: Vec<Arc<Route>> = Vec::new();
            for (i, (text, conditions)) in rules.into_iter().enumerate() {
                let route = route(&i.to_string(), Some(path(&text)), conditions);
                let same = added.iter().find(|known| {
                    known.conditions == route.conditions
                        && known.path.as_ref().unwrap().without_trailing_slash() == route.path.as_ref().unwrap().without_trailing_slash()
                });
                match (builder.add(Arc::clone(&route)), same) {
                    (Ok(()), None) => added.push(route),
                    (Err(conflict), Some(same)) => prop_assert!(Arc::ptr_eq(&conflict.winner, same)),
                    (got, same) => prop_assert!(false, "{got:?} {same:?}"),
                }
            }
            let default = route("default", None, Conditions::default());
            if with_default {
                builder.add(Arc::clone(&default)).unwrap();
            }
            let host = builder.build().unwrap();
            let headers: HeaderMap = values.iter().map(|value| (HeaderName::from_static("x"), HeaderValue::from_static(value))).collect();
            let request = RequestFacts { method: if put { &Method::PUT } else { &Method::GET }, headers: &headers, query: None };
            for path in paths {
                let wanted = oracle(&added, &path, request).or(with_default.then_some(&default));
                prop_assert_eq!(host.find(&path, request).map(|r| &r.origin.name), wanted.map(|r| &r.origin.name), "{}", path);
            }
        }
    }
}
