//! From the settings of an object to the filters of its routes.

use http::StatusCode;
use tidegate_proxy::filter::{Filter, Redirect, RedirectTarget, RedirectWhen};
use tidegate_proxy::model::Scheme;

use super::claim::{FilterClaims, HttpsRedirect};
use crate::policy::Policy;

impl FilterClaims {
    /// Returns the filters that settings ask for.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let mut filters = Vec::new();
        filters.extend(policy.refuse.map(|refusal| Filter::Refuse(refusal.reason())));
        filters.extend(app_root(policy));
        if let Some(redirect) = policy.redirect() {
            let to = RedirectTarget::Fixed(redirect.location);
            filters.push(Filter::Redirect(Redirect { when: RedirectWhen::Always, to, status: redirect.status }));
        }
        filters.extend(policy.body_limit_bytes().map(Filter::BodyLimit));
        let https = match (policy.force_ssl_redirect.unwrap_or(false), policy.ssl_redirect.unwrap_or(true)) {
            (true, _) => HttpsRedirect::Always,
            (false, true) => HttpsRedirect::WhereCovered,
            (false, false) => HttpsRedirect::Never,
        };
        Self { filters, https }
    }

    /// Returns the filters of a host, in the order in which they run.
    #[must_use]
    pub fn for_host(&self, coverage: Coverage) -> Box<[Filter]> {
        let mut filters = self.filters.clone();
        let redirect = match (self.https, coverage) {
            (HttpsRedirect::Always, _) | (HttpsRedirect::WhereCovered, Coverage::Covered) => true,
            (HttpsRedirect::WhereCovered, Coverage::Uncovered) | (HttpsRedirect::Never, _) => false,
        };
        if redirect {
            let to = RedirectTarget::Same { scheme: Some(Scheme::Https), host: None };
            filters.push(Filter::Redirect(Redirect { when: RedirectWhen::ClearText, to, status: StatusCode::PERMANENT_REDIRECT }));
        }
        filters.sort_by_key(Filter::stage);
        filters.into()
    }
}

/// Returns the redirect of `/`, if settings ask for one.
pub(super) fn app_root(policy: &Policy) -> Option<Filter> {
    let to = RedirectTarget::Path(policy.app_root.clone()?);
    Some(Filter::Redirect(Redirect { when: RedirectWhen::Root, to, status: StatusCode::FOUND }))
}

/// Whether TLS is asked for on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// A TLS entry names the host, by itself or by wildcard.
    Covered,
    /// None does.
    Uncovered,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{BodyLimit, Refusal};

    fn stages(policy: &Policy, coverage: Coverage) -> Vec<tidegate_proxy::filter::Stage> {
        FilterClaims::of(policy).for_host(coverage).iter().map(Filter::stage).collect()
    }

    #[test]
    fn clear_text_is_redirected_where_tls_covers_the_host_unless_switched_off_or_forced() {
        use tidegate_proxy::filter::Stage::HttpsRedirect;
        for (ssl, force, covered, uncovered) in [
            (None, None, vec![HttpsRedirect], vec![]),
            (Some(false), None, vec![], vec![]),
            (Some(false), Some(true), vec![HttpsRedirect], vec![HttpsRedirect]),
            (None, Some(true), vec![HttpsRedirect], vec![HttpsRedirect]),
        ] {
            let policy = Policy { ssl_redirect: ssl, force_ssl_redirect: force, ..Policy::default() };
            assert_eq!((stages(&policy, Coverage::Covered), stages(&policy, Coverage::Uncovered)), (covered, uncovered), "{policy:?}");
        }
    }

    #[test]
    fn filters_stand_in_the_order_in_which_they_run() {
        use tidegate_proxy::filter::Stage::{AppRoot, HttpsRedirect, Limit, Redirect, Refuse};
        let policy = Policy {
            refuse: Some(Refusal::Protection),
            app_root: Some(http::HeaderValue::from_static("/app")),
            temporal_redirect: Some(http::HeaderValue::from_static("/x")),
            body_limit: Some(BodyLimit::Bytes(1)),
            ..Policy::default()
        };
        assert_eq!(stages(&policy, Coverage::Covered), [Refuse, AppRoot, Redirect, HttpsRedirect, Limit]);
    }
}
