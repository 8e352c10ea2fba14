//! Values of metric labels: closed sets, so that no request can make a new series.

use crate::error::Reason;

/// A closed set of label values. The position of a value in [`Label::ALL`] is its discriminant.
pub trait Label: Copy + 'static {
    /// Every value, in the order of declaration.
    const ALL: &'static [Self];

    /// Returns the value as metrics carry it.
    fn text(self) -> &'static str;

    /// Returns the position in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[doc = $doc:literal])+ $label:ident { $($(#[doc = $value_doc:literal])+ $name:ident = $text:literal,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $label {
            $($(#[doc = $value_doc])+ $name,)+
        }

        impl Label for $label {
            const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// The method of a request: those of RFC 9110 §9 and PATCH, and one value for all others.
    MethodLabel {
        /// `GET`.
        Get = "GET",
        /// `HEAD`.
        Head = "HEAD",
        /// `POST`.
        Post = "POST",
        /// `PUT`.
        Put = "PUT",
        /// `PATCH`.
        Patch = "PATCH",
        /// `DELETE`.
        Delete = "DELETE",
        /// `OPTIONS`.
        Options = "OPTIONS",
        /// `CONNECT`.
        Connect = "CONNECT",
        /// `TRACE`.
        Trace = "TRACE",
        /// Any other.
        Other = "other",
    }
    /// The first digit of a status.
    StatusClass {
        /// 100 to 199.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499, also 499: the client went away before its answer.
        ClientError = "4xx",
        /// 500 and above.
        ServerError = "5xx",
    }
    /// What a client's connection speaks.
    ConnectionProtocol {
        /// Not known yet: the handshake or the preface is awaited.
        Unknown = "unknown",
        /// HTTP/1.
        Http1 = "http1",
        /// HTTP/2.
        Http2 = "http2",
    }
    /// What a client's connection is doing.
    ConnectionState {
        /// It is being set up.
        Handshake = "handshake",
        /// No request is in flight on it.
        Idle = "idle",
        /// It has been idle for long, and holds little memory until its next request.
        Asleep = "asleep",
        /// At least one request is in flight on it.
        Active = "active",
    }
    /// How a TLS handshake with a client ended.
    TlsHandshake {
        /// With a session.
        Ok = "ok",
        /// With a session resumed from an earlier one.
        Resumed = "resumed",
        /// Without.
        Failed = "failed",
        /// It took too long.
        TimedOut = "timed_out",
    }
    /// How making a connection to an endpoint ended.
    UpstreamConnect {
        /// It stands.
        Ok = "ok",
        /// It was refused, or broke.
        Failed = "failed",
        /// It took too long.
        TimedOut = "timed_out",
        /// Its TLS handshake failed.
        TlsFailed = "tls_failed",
    }
}

impl Label for Reason {
    const ALL: &'static [Self] = Self::ALL;

    fn text(self) -> &'static str {
        self.as_str()
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl From<&http::Method> for MethodLabel {
    fn from(method: &http::Method) -> Self {
        Self::ALL.iter().copied().find(|label| label.text() == method.as_str()).unwrap_or(Self::Other)
    }
}

impl From<u16> for StatusClass {
    fn from(status: u16) -> Self {
        match status {
            0..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions<L: Label>() -> bool {
        L::ALL.iter().enumerate().all(|(position, label)| label.index() == position)
    }

    #[test]
    fn every_value_stands_at_its_discriminant() {
        assert!(positions::<MethodLabel>() && positions::<StatusClass>() && positions::<Reason>());
        assert!(positions::<ConnectionProtocol>() && positions::<ConnectionState>());
        assert!(positions::<TlsHandshake>() && positions::<UpstreamConnect>());
    }

    #[test]
    fn a_method_that_nobody_defined_makes_no_series_of_its_own() {
        assert_eq!(MethodLabel::from(&http::Method::PATCH), MethodLabel::Patch);
        let own = http::Method::from_bytes(b"BREW").unwrap_or_default();
        assert_eq!(MethodLabel::from(&own), MethodLabel::Other);
    }
}
