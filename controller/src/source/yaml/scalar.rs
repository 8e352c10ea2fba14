//! What an unquoted word means: the rules of sigs.k8s.io/yaml (its `goyaml.v2/resolve.go`), after which `kubectl` sends JSON.

use saphyr_parser::{ScalarStyle, Tag};
use serde_json::{Number, Value};

/// Resolves a scalar to a JSON value.
///
/// # Errors
/// It is a number that JSON does not have (`.nan`, `.inf`).
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let string = || Ok(Value::String(text.to_owned()));
    // A tag of the core schema other than `!!str` only repeats what the word says anyway; any other tag leaves the text alone.
    if style != ScalarStyle::Plain || tag.is_some_and(|tag| !tag.is_yaml_core_schema() || matches!(&*tag.suffix, "str" | "binary")) {
        return string();
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Value::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
            return Err(format!("`{text}` is a number that JSON does not have; quote it if it is text"));
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return string();
    }
    let plain = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    match integer(&plain).or_else(|| float(&plain)) {
        Some(number) => Ok(Value::Number(number)),
        None => string(),
    }
}

/// Reads an integer as Go's `ParseInt` with base 0 does: `0x`, `0o`, `0b`, and a leading zero for octal.
fn integer(plain: &str) -> Option<Number> {
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix('0').filter(|rest| !rest.is_empty()) {
        (8, octal)
    } else {
        (10, lower.as_str())
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(Number::from(magnitude)) }
}

/// Reads a decimal fraction. A whole number comes out as an integer, as it does from Go's JSON: `80.0` is a port.
#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 fits")]
fn float(plain: &str) -> Option<Number> {
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) || exponent.is_empty() || !digits(exponent) {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 { Some(Number::from(value as i64)) } else { Number::from_f64(value) }
}
