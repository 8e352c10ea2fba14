//! The rule that comes nearest to a request that none takes, and what is between them.

use std::cmp::Reverse;

use tidegate_proxy::model::{HostMatch, PathMatch};
use tidegate_proxy::table::{Host, Listener, Route};

use super::{NearestRule, words};

/// How different two names may be, 0 to 100, for one to be a slip for the other.
const SLIP: u32 = 20;

/// Finds the rule of a host that comes nearest to a path.
pub(super) fn by_path(host: &Host, path: &str) -> Option<NearestRule> {
    let graded = host.routes.iter().filter_map(|route| {
        let rule = route.path.as_ref()?;
        let (grade, why) = grade(rule, path);
        Some(((grade, distance(rule.literal(), path), Reverse(rule.literal().len())), why, route))
    });
    let (_, why, route) = graded.min_by_key(|(grade, ..)| *grade)?;
    Some(NearestRule { path: Some(words::path(route.path.as_ref())), ..of(route, why) })
}

/// Says how different two texts are, 0 to 100: a whole number, so that it can be sorted by.
fn distance(a: &str, b: &str) -> u32 {
    let alike = strsim::jaro_winkler(a, b);
    (0..100).find(|percent| alike >= 1.0 - f64::from(*percent) / 100.0).unwrap_or(100)
}

/// Says how far a rule is from a path, 0 nearest, and why it does not match.
fn grade(rule: &PathMatch, path: &str) -> (u32, String) {
    let literal = rule.literal();
    let said = words::path(Some(rule));
    let exact = matches!(rule, PathMatch::Exact(_));
    let (bare, lower) = (literal.trim_end_matches('/'), path.to_ascii_lowercase());
    let below = |path: &str, prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if exact && bare == path.trim_end_matches('/') {
        return (0, format!("{said} takes this very path alone, and a trailing slash counts"));
    }
    let other_case = literal.to_ascii_lowercase();
    if if exact { lower == other_case } else { below(&lower, &other_case) } {
        return (1, format!("{said} is written in another case, which counts"));
    }
    if exact && below(path, bare) {
        return (2, format!("{said} takes this very path alone, and nothing below it"));
    }
    if !exact && path.starts_with(literal) {
        return (3, format!("{said} takes whole elements of a path, and what follows it here is part of one"));
    }
    if distance(literal, path) <= SLIP {
        return (4, format!("{said} is spelt otherwise"));
    }
    (5, format!("{said} is another path"))
}

/// Finds the host that comes nearest to one that is not known.
pub(super) fn by_host(listener: &Listener, host: &str) -> Option<NearestRule> {
    let graded = listener.hosts.iter().filter_map(|(known, value)| {
        let (grade, why) = grade_host(&known, host)?;
        Some(((grade, known), why, value))
    });
    let ((_, known), why, value) = graded.min_by(|(a, ..), (b, ..)| a.cmp(b))?;
    let route = value.routes.first().or(value.default.as_ref())?;
    Some(NearestRule { host: known.to_string(), ..of(route, why) })
}

fn grade_host(known: &HostMatch, host: &str) -> Option<(u32, String)> {
    let name = match known {
        HostMatch::OneLabel(suffix) | HostMatch::ManyLabels(suffix) => {
            if suffix.as_str() == host {
                return Some((0, format!("{known} stands for one label more than {suffix}, and not for {suffix} itself")));
            }
            let deeper = host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'));
            if deeper {
                return Some((0, format!("{known} stands for exactly one label more than {suffix}; {host} has more")));
            }
            suffix
        }
        HostMatch::Exact(name) => name,
        HostMatch::Any => return None,
    };
    let off = distance(name.as_str(), host);
    (off <= SLIP).then(|| (1 + off, format!("{known} is spelt otherwise")))
}

fn of(route: &Route, why: String) -> NearestRule {
    NearestRule { object: (*route.origin).clone(), host: route.host.to_string(), path: None, why }
}
