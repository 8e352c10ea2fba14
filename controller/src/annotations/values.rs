//! Parsers of values: text to types, each with one grammar. Nothing that they accept is ever parsed again.
//!
//! None takes a control character anywhere, nor white space around a value, as ingress-nginx takes none.

use std::time::Duration;

use http::{HeaderValue, StatusCode, Uri};
use tidegate_proxy::model::NormalPath;

/// The longest time that a setting may name: 2^32 - 1 seconds (about 136 years), which any clock can be asked to add.
const MAX_DURATION: Duration = Duration::from_secs(u32::MAX as u64);

/// What is wrong with a value, to follow the value in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is not of the grammar.
    #[error("is not {0}")]
    Malformed(&'static str),
    /// It is a number, but not one that is allowed.
    #[error("is out of range: {0}")]
    OutOfRange(&'static str),
    /// It is understood, and not supported.
    #[error("is not supported")]
    Unsupported,
}

/// Reads a truth value as Go's `strconv.ParseBool` does.
pub(crate) fn boolean(value: &str) -> Result<bool, Fault> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Fault::Malformed("true or false")),
    }
}

/// Reads a whole decimal number as Go's `strconv.Atoi` does: perhaps with a sign, nothing else.
pub(crate) fn integer(value: &str) -> Result<i64, Fault> {
    value.parse().map_err(|_| Fault::Malformed("a whole number"))
}

/// Reads a time as ingress-nginx does: whole seconds without a unit, at least 1.
pub(crate) fn seconds(value: &str) -> Result<Duration, Fault> {
    const EXPECTED: &str = "a number of seconds without a unit, such as 60";
    let seconds = integer(value).map_err(|_| Fault::Malformed(EXPECTED))?;
    let seconds = u32::try_from(seconds).map_err(|_| Fault::OutOfRange("1 to 4294967295 seconds"))?;
    time_in_range(Duration::from_secs(seconds.into()))
}

/// Reads a time as Kubernetes' `metav1.Duration` writes it: whole numbers, each with its unit (`ms`, `s`, `m`, `h`): `500ms`, `1m30s`.
pub(crate) fn duration(value: &str) -> Result<Duration, Fault> {
    const FAULT: Fault = Fault::Malformed("a time with its unit, such as 500ms, 60s or 1m30s");
    let mut rest = value;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or(FAULT)?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(FAULT),
        };
        let number: u64 = number.parse().map_err(|_| FAULT)?;
        let part = Duration::from_millis(number.checked_mul(unit_ms).ok_or(FAULT)?);
        total = total.checked_add(part).ok_or(FAULT)?;
        rest = after;
    }
    if value.is_empty() { Err(FAULT) } else { time_in_range(total) }
}

fn time_in_range(time: Duration) -> Result<Duration, Fault> {
    match time {
        Duration::ZERO => Err(Fault::OutOfRange("no time at all would fail every request")),
        time if time > MAX_DURATION => Err(Fault::OutOfRange("at most 4294967295 seconds")),
        time => Ok(time),
    }
}

/// Reads a size in bytes as nginx does: whole, perhaps with `k`, `m` or `g` of either case, which are powers of 1024.
pub(crate) fn nginx_bytes(value: &str) -> Result<u64, Fault> {
    const EXPECTED: &str = "a size such as 1024, 8k, 10m or 1g";
    let units = [("k", 10), ("m", 20), ("g", 30), ("K", 10), ("M", 20), ("G", 30)];
    bytes(value, &units, EXPECTED)
}

/// Reads a size in bytes as Kubernetes writes it: whole, perhaps with `Ki`, `Mi` or `Gi`.
///
/// The suffixes `k`, `m`, `M` and `G` are refused: a Kubernetes quantity and nginx mean different sizes by them.
pub(crate) fn quantity_bytes(value: &str) -> Result<u64, Fault> {
    bytes(value, &[("Ki", 10), ("Mi", 20), ("Gi", 30)], "a size such as 1024, 8Ki, 10Mi or 1Gi")
}

fn bytes(value: &str, units: &[(&str, u32)], expected: &'static str) -> Result<u64, Fault> {
    let found = units.iter().find_map(|(unit, bits)| Some((value.strip_suffix(unit)?, *bits)));
    let (number, bits) = found.unwrap_or((value, 0));
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::Malformed(expected));
    }
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << bits))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or(Fault::OutOfRange("at most 2^63 - 1 bytes"))
}

/// Reads a status for a redirect within these bounds, both included.
pub(crate) fn redirect_status(value: &str, range: std::ops::RangeInclusive<i64>, expected: &'static str) -> Result<StatusCode, Fault> {
    let code = integer(value)?;
    let status = if range.contains(&code) { u16::try_from(code).ok() } else { None };
    status.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Fault::OutOfRange(expected))
}

/// Reads where a redirect leads: an absolute URL (RFC 3986 §4.3, with a fragment if need be), or an absolute path.
pub(crate) fn location(value: &str) -> Result<HeaderValue, Fault> {
    const EXPECTED: &str = "an absolute URL such as https://example.com/new, or an absolute path";
    if value.starts_with('/') { url_text(value, EXPECTED) } else { absolute_url(value, EXPECTED) }
}

/// Reads an absolute `http` or `https` URL.
pub(crate) fn http_url(value: &str) -> Result<HeaderValue, Fault> {
    const EXPECTED: &str = "an absolute URL that begins with http:// or https://";
    let scheme = value.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") {
        absolute_url(value, EXPECTED)
    } else {
        Err(Fault::Malformed(EXPECTED))
    }
}

fn absolute_url(value: &str, expected: &'static str) -> Result<HeaderValue, Fault> {
    let text = url_text(value, expected)?;
    let (scheme, rest) = value.split_once("://").ok_or(Fault::Malformed(expected))?;
    let scheme_holds = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // `Uri` checks the authority's own grammar: brackets of IPv6, port.
    let authority_holds = Uri::builder().scheme("http").authority(authority).path_and_query("/").build().is_ok_and(|uri| {
        let host = uri.host().unwrap_or_default();
        !host.is_empty()
    });
    if scheme_holds && authority_holds { Ok(text) } else { Err(Fault::Malformed(expected)) }
}

/// Reads an absolute path, perhaps with a query, that is not the root itself (a redirect from the root to the root never ends).
pub(crate) fn path_below_root(value: &str) -> Result<HeaderValue, Fault> {
    const EXPECTED: &str = "an absolute path other than /";
    let text = url_text(value, EXPECTED)?;
    let path = value.split(['?', '#']).next().unwrap_or_default();
    let normal: NormalPath = path.parse().map_err(|_| Fault::Malformed(EXPECTED))?;
    if !value.starts_with('/') || value.starts_with("//") || value.contains('#') || normal.as_str() == "/" {
        return Err(Fault::Malformed(EXPECTED));
    }
    Ok(text)
}

/// Lets through the characters of RFC 3986 without `$`, which means a variable to ingress-nginx, and would be sent as it stands.
fn url_text(value: &str, expected: &'static str) -> Result<HeaderValue, Fault> {
    if value.contains('$') {
        return Err(Fault::Malformed("free of variables; a literal $ is written %24"));
    }
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let allowed = match first {
            b'%' => after.first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
            byte => byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!&'()*+,;=".contains(byte),
        };
        if !allowed {
            return Err(Fault::Malformed(expected));
        }
        rest = after;
    }
    if value.is_empty() { Err(Fault::Malformed(expected)) } else { HeaderValue::from_str(value).map_err(|_| Fault::Malformed(expected)) }
}
