//! Redirects: to a fixed place, or to the same place under another scheme or host.

use http::{HeaderValue, StatusCode};

use super::{Answer, Exchange, Flow};
use crate::error::Reason;
use crate::model::{HostName, Scheme, dump};

/// An answer with a `Location`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Redirect {
    /// Which requests it answers.
    pub when: RedirectWhen,
    /// Where to.
    pub to: RedirectTarget,
    /// The status, 300 to 308.
    #[serde(serialize_with = "dump::status")]
    pub status: StatusCode,
}

/// Which requests a redirect answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectWhen {
    /// All.
    Always,
    /// Those for exactly `/`.
    Root,
    /// Those in clear text, but for `/.well-known/acme-challenge/` (RFC 8555 §8.3 asks for it over http).
    ClearText,
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectTarget {
    /// This `Location`, as written.
    Fixed(#[serde(serialize_with = "dump::header_value")] HeaderValue),
    /// The same scheme, host and port with this path; the query is dropped.
    Path(#[serde(serialize_with = "dump::header_value")] HeaderValue),
    /// The same path and query under another scheme or host; `None` keeps the client's. The port is the public one of the scheme.
    Same {
        /// The new scheme.
        scheme: Option<Scheme>,
        /// The new host.
        host: Option<HostName>,
    },
}

/// What is answered in clear text even where everything else moves to https.
const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

impl Redirect {
    pub(super) fn apply(&self, exchange: &Exchange<'_>) -> Flow {
        let (applies, reason) = match self.when {
            RedirectWhen::Always => (true, Reason::Redirect),
            RedirectWhen::Root => (exchange.path == "/", Reason::Redirect),
            RedirectWhen::ClearText => {
                (exchange.scheme == Scheme::Http && !exchange.path.starts_with(ACME_CHALLENGE), Reason::HttpsRedirect)
            }
        };
        if !applies {
            return Flow::Continue;
        }
        let location = match &self.to {
            RedirectTarget::Fixed(location) => Some(location.clone()),
            RedirectTarget::Path(path) => locate(exchange, exchange.scheme, exchange.host, path.as_bytes()),
            RedirectTarget::Same { scheme, host } => {
                let host = host.as_ref().map_or(exchange.host, HostName::as_str);
                locate(exchange, scheme.unwrap_or(exchange.scheme), host, exchange.target.as_bytes())
            }
        };
        match location {
            Some(location) => Flow::Answer(Answer { reason, status: Some(self.status), location: Some(location) }),
            // A target that no header can carry.
            None => Flow::Answer(Answer::from(Reason::BadPath)),
        }
    }
}

/// Writes an absolute URL. Under the client's own scheme its port is kept; under another it is the public one of that scheme. A port
/// that the scheme implies is left out.
fn locate(exchange: &Exchange<'_>, scheme: Scheme, host: &str, target: &[u8]) -> Option<HeaderValue> {
    let port = if scheme == exchange.scheme {
        exchange.port
    } else {
        match scheme {
            Scheme::Http => exchange.http_port,
            Scheme::Https => exchange.https_port,
        }
    };
    let mut url = Vec::with_capacity(scheme.as_str().len() + host.len() + target.len() + 9);
    url.extend_from_slice(scheme.as_str().as_bytes());
    url.extend_from_slice(b"://");
    url.extend_from_slice(host.as_bytes());
    if let Some(port) = port.filter(|port| *port != scheme.default_port()) {
        url.extend_from_slice(format!(":{port}").as_bytes());
    }
    url.extend_from_slice(target);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(url)).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn location(redirect: &Redirect, exchange: &Exchange<'_>) -> Option<String> {
        match redirect.apply(exchange) {
            Flow::Answer(answer) => Some(answer.location.unwrap().to_str().unwrap().to_owned()),
            Flow::Continue | Flow::Ask(_) => None,
        }
    }

    #[test]
    fn each_redirect_answers_what_it_is_for() {
        let https = Redirect {
            when: RedirectWhen::ClearText,
            to: RedirectTarget::Same { scheme: Some(Scheme::Https), host: None },
            status: StatusCode::PERMANENT_REDIRECT,
        };
        let root =
            Redirect { when: RedirectWhen::Root, to: RedirectTarget::Path(HeaderValue::from_static("/app")), status: StatusCode::FOUND };
        let www = Redirect {
            when: RedirectWhen::Always,
            to: RedirectTarget::Same { scheme: None, host: Some("www.a.test".parse().unwrap()) },
            status: StatusCode::PERMANENT_REDIRECT,
        };
        let fixed = Redirect {
            when: RedirectWhen::Always,
            to: RedirectTarget::Fixed(HeaderValue::from_static("https://elsewhere.test/x?y")),
            status: StatusCode::MOVED_PERMANENTLY,
        };
        let clear = Exchange::example;
        let at = |target: &'static str| Exchange { path: target.split('?').next().unwrap(), target, ..clear() };
        for (what, redirect, exchange, expected) in [
            ("path and query are kept", &https, at("/a/?q=1&r"), Some("https://a.test/a/?q=1&r")),
            ("the default port is left out", &https, Exchange { https_port: Some(443), ..clear() }, Some("https://a.test/")),
            ("another port is named", &https, Exchange { https_port: Some(8443), ..clear() }, Some("https://a.test:8443/")),
            ("the client's http port goes", &https, Exchange { port: Some(8080), ..clear() }, Some("https://a.test/")),
            ("https stays", &https, Exchange { scheme: Scheme::Https, ..clear() }, None),
            ("an ACME challenge stays", &https, at("/.well-known/acme-challenge/token"), None),
            ("what only looks like one moves", &https, at("/.well-known/acme"), Some("https://a.test/.well-known/acme")),
            ("the root moves to its path", &root, Exchange { port: Some(8080), ..clear() }, Some("http://a.test:8080/app")),
            ("the root's query goes", &root, at("/?q"), Some("http://a.test/app")),
            ("what is not the root stays", &root, at("/x"), None),
            ("another host keeps the client's port", &www, Exchange { port: Some(8080), ..at("/x?y") }, Some("http://www.a.test:8080/x?y")),
            (
                "another host keeps the scheme",
                &www,
                Exchange { scheme: Scheme::Https, port: Some(443), ..clear() },
                Some("https://www.a.test/"),
            ),
            ("a fixed place is as written", &fixed, at("/x?y=z"), Some("https://elsewhere.test/x?y")),
        ] {
            assert_eq!(location(redirect, &exchange).as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn the_status_is_the_routes_and_the_reason_says_which_redirect() {
        let mut redirect = Redirect {
            when: RedirectWhen::Always,
            to: RedirectTarget::Fixed(HeaderValue::from_static("/x")),
            status: StatusCode::SEE_OTHER,
        };
        for (when, expected) in [(RedirectWhen::Always, Reason::Redirect), (RedirectWhen::ClearText, Reason::HttpsRedirect)] {
            redirect.when = when;
            let flow = redirect.apply(&Exchange::example());
            assert!(matches!(flow, Flow::Answer(Answer { reason, status: Some(StatusCode::SEE_OTHER), .. }) if reason == expected));
        }
    }
}
