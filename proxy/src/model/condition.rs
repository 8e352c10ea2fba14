//! What a request must have, beyond host and path, for a route to take it.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::dump;

/// What of a request conditions look at.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The headers as the client sent them.
    pub headers: &'a HeaderMap,
    /// What stands behind `?` in the target; `None` without one.
    pub query: Option<&'a str>,
}

/// Conditions of one route; all must hold. Ordered by precedence (Gateway API: a method first, then more headers, then more
/// query parameters).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Conditions {
    /// The only method taken; `None` takes all.
    #[serde(serialize_with = "dump::method", skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Headers that must be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderCondition>,
    /// Query parameters that must be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryCondition>,
}

/// A header with this exact value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct HeaderCondition {
    /// The header's name.
    #[serde(serialize_with = "dump::header_name")]
    pub name: HeaderName,
    /// Its whole value.
    #[serde(serialize_with = "dump::header_value")]
    pub value: HeaderValue,
}

/// A query parameter with this exact value, compared as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct QueryCondition {
    /// The parameter's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Conditions {
    /// Whether there is no condition: every request is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.query.is_empty()
    }

    /// Whether the request has all that is asked for.
    #[must_use]
    pub fn hold(&self, request: RequestFacts<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == request.method)
            && self.headers.iter().all(|wanted| request.headers.get_all(&wanted.name).iter().any(|value| value == wanted.value))
            && self.query.iter().all(|wanted| {
                let pairs = request.query.unwrap_or_default().split('&');
                pairs
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                    .find(|(name, _)| *name == wanted.name)
                    .is_some_and(|(_, value)| value == wanted.value)
            })
    }

    /// Returns the key that sorts the more demanding conditions first.
    #[must_use]
    pub fn precedence(&self) -> impl Ord + use<> {
        std::cmp::Reverse((self.method.is_some(), self.headers.len(), self.query.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_must_hold() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("1"));
        let request = RequestFacts { method: &Method::GET, headers: &headers, query: Some("q=1&r=2&q=3") };
        let header = |name, value| HeaderCondition { name: HeaderName::from_static(name), value: HeaderValue::from_static(value) };
        let query = |name: &str, value: &str| QueryCondition { name: name.into(), value: value.into() };
        let all = Conditions { method: Some(Method::GET), headers: vec![header("x-a", "1")], query: vec![query("q", "1")] };
        assert!(all.hold(request));
        assert!(!Conditions { method: Some(Method::PUT), ..all.clone() }.hold(request));
        assert!(!Conditions { headers: vec![header("x-a", "2")], ..all.clone() }.hold(request));
        assert!(!Conditions { query: vec![query("q", "3")], ..all }.hold(request), "the first of a name counts");
        assert!(Conditions::default().hold(request));
    }
}
