//! The redirect between a host and its `www.` twin.

use http::StatusCode;
use tidegate_proxy::error::Reason;
use tidegate_proxy::filter::{Filter, Redirect, RedirectTarget, RedirectWhen};
use tidegate_proxy::model::{Conditions, HostMatch, HostName, Origin};

use super::claim::{BackendClaim, Claim, FilterClaims, HttpsRedirect, Standing};
use std::sync::Arc;

/// Returns the other of `example.com` and `www.example.com`; wildcards and rules without a host have none.
pub(super) fn twin(host: &HostMatch) -> Option<(&HostName, HostName)> {
    let HostMatch::Exact(name) = host else { return None };
    let twin = match name.as_str().strip_prefix("www.") {
        Some(bare) => bare.parse(),
        None => format!("www.{name}").parse(),
    };
    Some((name, twin.ok()?))
}

/// Returns the claim of a twin: all of it redirects to the host, scheme, path and query kept.
pub(super) fn twin_claim(origin: &Arc<Origin>, host: &HostName) -> Claim {
    let to = RedirectTarget::Same { scheme: None, host: Some(host.clone()) };
    let redirect = Redirect { when: RedirectWhen::Always, to, status: StatusCode::PERMANENT_REDIRECT };
    Claim {
        origin: Arc::clone(origin),
        path: None,
        conditions: Conditions::default(),
        filters: FilterClaims { filters: vec![Filter::Redirect(redirect)], https: HttpsRedirect::Never },
        backend: BackendClaim::Unavailable(Reason::NoPath),
        field: "metadata.annotations".into(),
        standing: Standing::Implied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_www_form_are_twins() {
        let twin_of = |text: &str| twin(&HostMatch::of_ingress(text).ok()?).map(|(_, twin)| twin.to_string());
        assert_eq!(twin_of("example.com").as_deref(), Some("www.example.com"));
        assert_eq!(twin_of("www.example.com").as_deref(), Some("example.com"));
        assert_eq!(twin_of("*.example.com"), None);
        assert_eq!(twin_of(""), None);
    }
}
