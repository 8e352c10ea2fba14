//! Answers of our own: errors and redirects, with a line of plain text that names the reason.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::headers;
use crate::body::Body;
use crate::error::Reason;
use crate::filter::Answer;

const X_TIDEGATE_REASON: HeaderName = HeaderName::from_static("x-tidegate-reason");
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Words an answer to a request of this method.
pub(super) fn word(answer: Answer, method: &Method, reason_header: ReasonHeader, date: HeaderValue) -> Response<Body> {
    let status = answer.status.unwrap_or_else(|| answer.reason.status());
    let text = text(status, answer.reason.as_str());
    let length = HeaderValue::from(text.len());
    let body = if *method == Method::HEAD { Body::Empty } else { Body::Fixed(Some(text)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, PLAIN_TEXT);
    fields.insert(CONTENT_LENGTH, length);
    if let Some(location) = answer.location {
        fields.insert(LOCATION, location);
    }
    if answer.reason == Reason::UnknownCoding {
        // Others may have found another end of the body (RFC 9112 §6.3).
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if reason_header == ReasonHeader::Sent {
        fields.insert(X_TIDEGATE_REASON, HeaderValue::from_static(answer.reason.as_str()));
    }
    headers::sign(fields, date);
    response
}

/// Whether our own answers say their reason in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReasonHeader {
    /// In `X-Tidegate-Reason`.
    Sent,
    /// In the text alone.
    Left,
}

fn text(status: StatusCode, reason: &str) -> Bytes {
    let phrase = status.canonical_reason().unwrap_or("Error");
    Bytes::from(format!("{} {phrase}: {reason}\n", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_status_and_reason() {
        let answer = || Answer::from(Reason::NoHost);
        let date = || HeaderValue::from_static("now");
        let response = word(answer(), &Method::GET, ReasonHeader::Left, date());
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(matches!(response.body(), Body::Fixed(Some(text)) if text == "404 Not Found: no_host\n"));
        assert_eq!(response.headers()[CONTENT_LENGTH], "23");
        assert_eq!(response.headers().get(X_TIDEGATE_REASON), None);
        let head = word(answer(), &Method::HEAD, ReasonHeader::Sent, date());
        assert!(matches!(head.body(), Body::Empty));
        assert_eq!(head.headers()[CONTENT_LENGTH], "23");
        assert_eq!(head.headers()[X_TIDEGATE_REASON], "no_host");
    }

    #[test]
    fn a_redirect_has_its_own_status_and_place() {
        let location = Some(HeaderValue::from_static("/x"));
        let answer = Answer { reason: Reason::Redirect, status: Some(StatusCode::FOUND), location };
        let response = word(answer, &Method::GET, ReasonHeader::Left, HeaderValue::from_static("now"));
        assert_eq!((response.status(), &response.headers()[LOCATION]), (StatusCode::FOUND, &HeaderValue::from_static("/x")));
    }
}
