//! What is asked: a request, as a client would send it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tidegate_proxy::forward::Connection;
use tidegate_proxy::model::Scheme;
use tidegate_proxy::table::Listener;

/// A client that nobody trusts: of a network for documentation (RFC 5737).
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A request that is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// The absolute URL; its scheme says which listener.
    pub url: Uri,
    /// Headers besides `Host`, or with another one.
    pub headers: HeaderMap,
    /// The client's address; `None` is one that no proxy in between has.
    pub client: Option<IpAddr>,
}

/// Reads the URL of a question.
///
/// # Errors
/// It is not an absolute URL of http or https; the text says what would be one.
pub fn url(text: &str) -> Result<Uri, String> {
    let wanted = || "give an absolute URL, such as https://shop.example.com/cart".to_owned();
    let url: Uri = text.parse().map_err(|error| format!("{error}; {}", wanted()))?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    if known && url.host().is_some_and(|host| !host.is_empty()) { Ok(url) } else { Err(wanted()) }
}

/// Reads a method.
///
/// # Errors
/// It is none.
pub fn method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| "give a method, such as GET or POST".to_owned())
}

/// Reads a header, `Name: value`.
///
/// # Errors
/// It is none.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wanted = || "give a name and a value, such as 'X-Canary: always'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(wanted)?;
    Ok((name.trim().parse().map_err(|_| wanted())?, value.trim().parse().map_err(|_| wanted())?))
}

impl Question {
    /// Asks about a GET by a stranger.
    #[must_use]
    pub fn get(url: Uri) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), client: None }
    }

    /// Reads it from a query, as [`Question::query`] writes it.
    ///
    /// # Errors
    /// A part is missing, wrong or unknown: names it.
    pub fn from_query(query: &str) -> Result<Self, String> {
        let (mut asked, mut methods, mut headers, mut client) = (None, None, HeaderMap::new(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value =
                percent_decode_str(&value.replace('+', " ")).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?.into_owned();
            let named = |problem: String| format!("{name} {value:?}: {problem}");
            match name {
                "url" => asked = Some(url(&value).map_err(named)?),
                "method" => methods = Some(method(&value).map_err(named)?),
                "header" => {
                    let (name, value) = header(&value).map_err(named)?;
                    headers.append(name, value);
                }
                "client" => client = Some(value.parse().map_err(|_| named("give an IP address".to_owned()))?),
                other => return Err(format!("{other:?} is no part of a question; url, method, header and client are")),
            }
        }
        let url = asked.ok_or("url is missing: ask /explain?url=https://shop.example.com/cart")?;
        Ok(Self { method: methods.unwrap_or_default(), url, headers, client })
    }

    /// Writes it as a query.
    #[must_use]
    pub fn query(&self) -> String {
        let part = |name: &str, value: &[u8]| {
            let text = String::from_utf8_lossy(value);
            format!("{name}={}", utf8_percent_encode(&text, NON_ALPHANUMERIC))
        };
        let header =
            |(name, value): (&HeaderName, &HeaderValue)| part("header", &[name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
        let mut parts = vec![part("url", self.url.to_string().as_bytes()), part("method", self.method.as_str().as_bytes())];
        parts.extend(self.headers.iter().map(header));
        parts.extend(self.client.map(|client| part("client", client.to_string().as_bytes())));
        parts.join("&")
    }

    /// Returns the scheme that the client uses.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        if self.url.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http }
    }

    /// Returns the name that a client asks for in its TLS handshake; `None` where the URL has an address.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        let host = self.url.host()?;
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_err().then_some(host)
    }

    /// Returns the length of the body, as a header of the question announces it.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
    }

    /// Returns the head of the request as an HTTP/1.1 client sends it.
    ///
    /// # Errors
    /// It cannot be sent at all.
    pub fn parts(&self) -> Result<Parts, http::Error> {
        let target = self.url.path_and_query().map_or("/", |target| target.as_str());
        let (mut parts, ()) = Request::builder().method(&self.method).uri(target).body(())?.into_parts();
        parts.headers = self.headers.clone();
        if !parts.headers.contains_key(HOST) {
            let authority = self.url.authority().map_or("", |authority| authority.as_str());
            let implied = format!(":{}", self.scheme().default_port());
            parts.headers.insert(HOST, HeaderValue::from_str(authority.strip_suffix(&implied).unwrap_or(authority))?);
        }
        Ok(parts)
    }

    /// Returns the connection that it comes on.
    #[must_use]
    pub fn connection(&self, listener: &Listener, local_port: u16) -> Connection {
        let client = SocketAddr::new(self.client.unwrap_or(STRANGER).to_canonical(), 0);
        Connection {
            listener: Arc::clone(&listener.name),
            peer: client,
            client,
            local_port,
            scheme: listener.scheme(),
            server_name: self.server_name().filter(|_| listener.tls.is_some()).map(Into::into),
            tls_version: None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_question_reads_back_as_it_was_written() {
        let mut question = Question::get(url("https://shop.example.com:8443/a%20b?x=1&y=+").unwrap());
        question.method = Method::POST;
        for text in ["X-A: b & c=d", "x-a: second", "Content-Length:5"] {
            let (name, value) = header(text).unwrap();
            question.headers.append(name, value);
        }
        question.client = Some("10.0.0.1".parse().unwrap());
        assert_eq!(Question::from_query(&question.query()), Ok(question));
    }

    #[test]
    fn what_is_wrong_with_a_question_is_named() {
        for (query, named) in [
            ("", "url is missing"),
            ("url=shop.example.com/cart", "absolute URL"),
            ("url=ftp://a/", "absolute URL"),
            ("url=http:///x", "url"),
            ("url=http://a/&method=G%20T", "method \"G T\""),
            ("url=http://a/&header=novalue", "header \"novalue\""),
            ("url=http://a/&client=here", "client \"here\""),
            ("url=http://a/&verb=GET", "\"verb\""),
        ] {
            let problem = Question::from_query(query).unwrap_err();
            assert!(problem.contains(named), "{query}: {problem}");
        }
    }

    #[test]
    fn the_request_is_what_a_client_sends() {
        for (text, host, target, server_name) in [
            ("http://a.test", "a.test", "/", Some("a.test")),
            ("http://a.test:80/x?y", "a.test", "/x?y", Some("a.test")),
            ("https://a.test:80/x", "a.test:80", "/x", Some("a.test")),
            ("https://[::1]:8443/", "[::1]:8443", "/", None),
            ("https://192.0.2.1/", "192.0.2.1", "/", None),
        ] {
            let question = Question::get(url(text).unwrap());
            let parts = question.parts().unwrap();
            assert_eq!((parts.headers.get(HOST).unwrap().to_str().unwrap(), &*parts.uri.to_string()), (host, target), "{text}");
            assert_eq!(question.server_name(), server_name, "{text}");
        }
    }
}
