//! Parts of the table in the words that rules are written in.

use tidegate_proxy::filter::{Filter, Redirect, RedirectTarget, RedirectWhen};
use tidegate_proxy::model::{PathMatch, UpstreamProtocol};

/// Says how a rule matches.
pub(crate) fn path(path: Option<&PathMatch>) -> String {
    match path {
        Some(PathMatch::Exact(path)) => format!("Exact {path}"),
        Some(PathMatch::Prefix(path)) => format!("Prefix {path}"),
        None => "default backend".to_owned(),
    }
}

/// Says what a filter is for.
pub(crate) fn filter(filter: &Filter) -> String {
    match filter {
        Filter::Refuse(reason) => format!("refuse everything ({reason})"),
        Filter::Redirect(redirect) => self::redirect(redirect),
        Filter::BodyLimit(bytes) => format!("bodies of at most {bytes} bytes"),
    }
}

fn redirect(redirect: &Redirect) -> String {
    let what = match redirect.when {
        RedirectWhen::Always => "redirect",
        RedirectWhen::Root => "redirect / alone",
        RedirectWhen::ClearText => "redirect clear text",
    };
    let target = match &redirect.to {
        RedirectTarget::Fixed(value) | RedirectTarget::Path(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        RedirectTarget::Same { scheme, host } => {
            let scheme = scheme.map(|scheme| scheme.as_str().to_owned());
            let host = host.as_ref().map(|host| format!("the host {host}"));
            let both: Vec<_> = scheme.into_iter().chain(host).collect();
            if both.is_empty() { "the same place".to_owned() } else { both.join(" and ") }
        }
    };
    format!("{what} to {target} ({})", redirect.status.as_u16())
}

/// Says how endpoints are spoken to.
pub(crate) fn protocol(protocol: UpstreamProtocol) -> &'static str {
    match protocol {
        UpstreamProtocol::Http1 => "http1",
        UpstreamProtocol::H2c => "h2c",
        UpstreamProtocol::Https => "https",
        UpstreamProtocol::H2 => "h2",
    }
}
