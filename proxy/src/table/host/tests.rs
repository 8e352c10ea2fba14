//! Which route a path gets.

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

#[test]
fn what_a_request_asks_for_lies_side_by_side() {
    // Behind the two counts of its `Arc`, and in two lines of the cache together.
    assert!(16 + std::mem::offset_of!(Host, default) <= 80, "{}", std::mem::offset_of!(Host, default));
    assert!(16 + size_of::<Host>() <= 128, "{}", size_of::<Host>());
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let header = |value| HeaderCondition { name: HeaderName::from_static("x"), value: HeaderValue::from_static(value) };
    let headers = prop::sample::subsequence(vec![header("1"), header("2")], 0..=2);
    (prop::option::of(Just(Method::PUT)), headers).prop_map(|(method, headers)| Conditions::new(method, headers, Vec::new()))
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
    let element = prop::sample::select(vec!["", "a", "b", "ab", "{a}", "{*a}", "}{", "a{", "\u{e9}", "\u{e8}", "%2F", "%FF", "*", ":a"]);
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
