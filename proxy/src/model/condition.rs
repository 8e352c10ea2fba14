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

/// Conditions of one route; all must hold. Nearly all routes have none, and then it is one word that a request looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Conditions(
    /// `None` if nothing is asked for.
    Option<Box<Asked>>,
);

/// What is asked of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
struct Asked {
    #[serde(serialize_with = "dump::method", skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderCondition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    query: Vec<QueryCondition>,
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
    /// Takes requests with this method (`None` takes all methods), all of these headers and all of these query parameters.
    #[must_use]
    pub fn new(method: Option<Method>, headers: Vec<HeaderCondition>, query: Vec<QueryCondition>) -> Self {
        let asked = Asked { method, headers, query };
        Self((asked.method.is_some() || !asked.headers.is_empty() || !asked.query.is_empty()).then(|| Box::new(asked)))
    }

    /// Whether there is no condition: every request is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the request has all that is asked for.
    #[must_use]
    pub fn hold(&self, request: RequestFacts<'_>) -> bool {
        self.0.as_ref().is_none_or(|asked| asked.holds(request))
    }

    /// Returns the key that sorts the more demanding conditions first (Gateway API: a method first, then more headers, then more query
    /// parameters).
    #[must_use]
    pub fn precedence(&self) -> impl Ord + use<> {
        std::cmp::Reverse(self.0.as_ref().map(|asked| (asked.method.is_some(), asked.headers.len(), asked.query.len())))
    }
}

impl Asked {
    fn holds(&self, request: RequestFacts<'_>) -> bool {
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
        let all =
            |method, header_value, parameter| Conditions::new(Some(method), vec![header("x-a", header_value)], vec![query("q", parameter)]);
        assert!(all(Method::GET, "1", "1").hold(request));
        assert!(!all(Method::PUT, "1", "1").hold(request));
        assert!(!all(Method::GET, "2", "1").hold(request));
        assert!(!all(Method::GET, "1", "3").hold(request), "the first of a name counts");
        assert!(Conditions::default().hold(request));
        assert_eq!(Conditions::new(None, Vec::new(), Vec::new()), Conditions::default());
        assert!(all(Method::GET, "1", "1").precedence() < Conditions::default().precedence());
    }
}
