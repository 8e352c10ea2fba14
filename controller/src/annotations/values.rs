//! Parsers of values: text to types, each with one grammar. Nothing that they accept is ever parsed again.
//!
//! None takes a control character anywhere, nor white space around a value, as ingress-nginx takes none.

use std::time::Duration;

use http::uri::Authority;
use http::{HeaderValue, StatusCode};
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

/// Takes a status for a redirect for good: 300 to 308.
pub(crate) fn permanent_status(code: i64) -> Result<StatusCode, Fault> {
    redirect_status(code, 308).ok_or(Fault::OutOfRange("300 to 308"))
}

/// Takes a status for a redirect for now: 300 to 307.
pub(crate) fn temporal_status(code: i64) -> Result<StatusCode, Fault> {
    redirect_status(code, 307).ok_or(Fault::OutOfRange("300 to 307"))
}

fn redirect_status(code: i64, last: i64) -> Option<StatusCode> {
    let code = Some(code).filter(|code| (300..=last).contains(code))?;
    StatusCode::from_u16(u16::try_from(code).ok()?).ok()
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
    // The parser knows the grammar of hosts, brackets of IPv6 included; of ports it does not insist.
    let authority_holds = authority.parse::<Authority>().is_ok_and(|authority| {
        let after_host = authority.as_str().rsplit_once(['@', ']']).map_or(authority.as_str(), |(_, rest)| rest);
        !authority.host().is_empty() && after_host.contains(':') == authority.port_u16().is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of every grammar with a control character in them, or white space around them.
    const DIRTY: &[&str] = &[
        "true\n",
        "\ttrue",
        " true",
        "true ",
        "60\r",
        "60 ",
        "1\0",
        "8k\n",
        "8Ki\n",
        "10s\n",
        "/a\u{85}",
        "/a\n",
        "/a\r\nSet-Cookie: x=y",
        "https://x.test/\n",
        "https://x.test/\u{7f}",
        "",
    ];

    fn check<T: PartialEq + std::fmt::Debug>(read: impl Fn(&str) -> Result<T, Fault>, good: &[(&str, T)], bad: &[&str]) {
        for (text, value) in good {
            assert_eq!(read(text).as_ref(), Ok(value), "{text:?}");
        }
        for text in bad.iter().chain(DIRTY) {
            assert!(read(text).is_err(), "{text:?} was read as {:?}", read(text));
        }
    }

    #[test]
    fn booleans_are_those_of_go() {
        let good = [
            ("1", true),
            ("t", true),
            ("T", true),
            ("true", true),
            ("TRUE", true),
            ("True", true),
            ("0", false),
            ("f", false),
            ("F", false),
            ("false", false),
            ("FALSE", false),
            ("False", false),
        ];
        check(boolean, &good, &["yes", "no", "on", "off", "tRUE", "2", "-1", "y"]);
    }

    #[test]
    fn integers_are_plain_decimals() {
        check(integer, &[("0", 0), ("42", 42), ("+42", 42), ("-1", -1)], &["0x10", "1e3", "1.0", "60s", "1_000", "9223372036854775808"]);
    }

    #[test]
    fn seconds_have_no_unit_and_are_more_than_zero() {
        let good = [("1", Duration::from_secs(1)), ("60", Duration::from_secs(60)), ("4294967295", Duration::from_secs(4_294_967_295))];
        check(seconds, &good, &["0", "-5", "60s", "1m", "0.5", "4294967296", "99999999999999999999"]);
    }

    #[test]
    fn durations_have_a_unit_with_every_number() {
        let good = [
            ("500ms", Duration::from_millis(500)),
            ("60s", Duration::from_secs(60)),
            ("1m30s", Duration::from_secs(90)),
            ("2h", Duration::from_secs(7200)),
            ("0s1ms", Duration::from_millis(1)),
        ];
        let bad = [
            "0s",
            "60",
            "s",
            "1m30",
            "1.5s",
            "-1s",
            "1d",
            "1 s",
            "1S",
            "5\u{b5}s",
            "4294967296s",
            "1000000000h",
            "99999999999999999999s",
            "18446744073709551615ms18446744073709551615ms",
            "5124095576030431h",
        ];
        check(duration, &good, &bad);
    }

    #[test]
    fn sizes_of_nginx_are_powers_of_1024() {
        let good =
            [("0", 0), ("1024", 1024), ("8k", 8192), ("8K", 8192), ("2m", 2 << 20), ("2M", 2 << 20), ("1g", 1 << 30), ("1G", 1 << 30)];
        check(nginx_bytes, &good, &["2mb", "100b", "1.5m", "-1", "+1", "k", "8 k", "8Ki", "lots", "9223372036854775808", "99999999999g"]);
    }

    #[test]
    fn quantities_are_those_that_nginx_does_not_read_otherwise() {
        let good = [("0", 0), ("1024", 1024), ("8Ki", 8192), ("2Mi", 2 << 20), ("1Gi", 1 << 30)];
        check(quantity_bytes, &good, &["8k", "10m", "10M", "1G", "1.5Gi", "-1Ki", "1e3", "Ki", "1ki", "9007199254740992Ki"]);
    }

    #[test]
    fn redirects_lead_to_absolute_urls_and_paths() {
        let same = |text: &'static str| (text, HeaderValue::from_static(text));
        let good = [
            same("https://new.test"),
            same("https://new.test/x?y=1"),
            same("http://new.test:8080/a%20b#part"),
            same("https://[::1]:8443/"),
            same("/rel"),
            same("/"),
            same("//cdn.test/x"),
            same("myapp://open/this"),
        ];
        let bad = [
            "rel",
            "www.new.test",
            "new.test:80/x",
            "https://",
            "https:///x",
            "https://x.test:port/",
            "https://x.test/$request_uri",
            "/$uri",
            "https://x.test/a b",
            "https://x.test/%zz",
            "https://x.test/%2",
            "https://x.test/\u{e9}",
            "https://x.test/\"",
            "https://[::1/",
            "1http://x.test",
            "javascript:alert(1)",
            "https://x.test/{}",
        ];
        check(location, &good, &bad);
    }

    #[test]
    fn redirects_for_now_lead_to_http() {
        let same = |text: &'static str| (text, HeaderValue::from_static(text));
        let good = [same("https://tmp.test/z"), same("http://tmp.test"), same("HTTPS://tmp.test")];
        check(http_url, &good, &["/rel", "ftp://tmp.test/", "httpx://tmp.test", "http:/tmp.test", "https://tmp.test/$uri"]);
    }

    #[test]
    fn an_app_root_is_a_path_that_is_not_the_root() {
        let same = |text: &'static str| (text, HeaderValue::from_static(text));
        let good = [same("/app"), same("/app/home/"), same("/app?tab=1"), same("/a%20b")];
        let bad = ["/", "/?x=1", "/.", "/x/..", "//", "//x.test/", "app", "https://x.test/", "/app#top", "/$uri", "/a b", "/%00"];
        check(path_below_root, &good, &bad);
    }

    #[test]
    fn statuses_are_those_of_redirects() {
        for code in [300, 301, 302, 303, 307] {
            assert_eq!(permanent_status(code).map(|status| i64::from(status.as_u16())), Ok(code));
            assert_eq!(temporal_status(code).map(|status| i64::from(status.as_u16())), Ok(code));
        }
        assert_eq!(permanent_status(308), Ok(StatusCode::PERMANENT_REDIRECT));
        for code in [i64::MIN, -301, 0, 200, 299, 308, 309, 404, 65_837, i64::MAX] {
            assert_eq!(temporal_status(code), Err(Fault::OutOfRange("300 to 307")), "{code}");
        }
        assert_eq!(permanent_status(309), Err(Fault::OutOfRange("300 to 308")));
    }
}
