//! The normal form of paths: what rules are compared on, so that no encoding reaches a path that the rules do not give.
//!
//! hyper and `http` refuse some targets before they come here, all with 400: white space and control characters, `<`, `>` and `` ` ``,
//! bytes that are not UTF-8, and targets longer than 65,534 bytes. They cut a fragment (`#` and what follows). They let `\`, `^`, `|`,
//! `"`, `{`, `}` and raw UTF-8 through, so these are dealt with here.

use std::borrow::Cow;

use http::uri::{InvalidUri, PathAndQuery};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What a path in normal form has to hide in a request target, beyond all that is not ASCII: the characters that RFC 3986 §3.3 has
/// no place for. `%` stays because in normal form it only begins an escape, and `\` because its escape is another path.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The path of a request, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a> {
    /// The path in normal form, for matching.
    pub path: Cow<'a, str>,
    /// Whether dot segments were resolved: then [`RequestPath::target`] goes upstream and not the client's own.
    pub dots_resolved: bool,
}

impl RequestPath<'_> {
    /// Returns the path as a request target, escaped again, with the query as it came. It reads as the same path.
    ///
    /// # Errors
    /// The escapes make the target longer than 65,534 bytes.
    pub fn target(&self, query: Option<&str>) -> Result<PathAndQuery, InvalidUri> {
        let path = utf8_percent_encode(&self.path, ESCAPED);
        let target = query.map_or_else(|| path.to_string(), |query| format!("{path}?{query}"));
        PathAndQuery::from_maybe_shared(target.into_bytes())
    }
}

/// A path that could mean two things to two readers, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It does not start with a slash.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// `%` is not followed by two hexadecimal digits.
    #[error("the path has a % that two hexadecimal digits do not follow")]
    BadEscape,
    /// It has a NUL.
    #[error("the path has a NUL byte")]
    Nul,
    /// It has a dot segment that only some readers would see: one formed through `%2F`, `%5C`, `\` or `;`.
    #[error("the path has a dot segment formed through an escaped slash, a backslash or a semicolon")]
    HiddenDots,
    /// It climbs above the root.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// It is longer than the path of a rule may be; paths of requests are bounded by their target's limit.
    #[error("the path is longer than 4096 bytes")]
    TooLong,
}

/// Brings a path into normal form. Borrows where it already is.
///
/// All escapes are decoded but `%2F`, `%5C`, `%25`, `%3F`, `%23` and bytes that are no UTF-8, which stay, in capitals. Slashes are
/// merged, then dot segments resolved (RFC 3986 §5.2.4). An escaped slash separates nothing.
///
/// # Errors
/// See [`BadPath`].
pub fn normalize(raw: &str) -> Result<RequestPath<'_>, BadPath> {
    if !raw.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    if is_plain(raw.as_bytes()) {
        return Ok(RequestPath { path: Cow::Borrowed(raw), dots_resolved: false });
    }
    let decoded = decode(raw)?;
    let mut path = String::with_capacity(decoded.len());
    let mut dots_resolved = false;
    // Whether the path ends in a slash is the last segment's to say: an empty one and a dot segment leave one.
    let mut ends_in_slash = false;
    for segment in decoded.split('/').skip(1) {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" => {}
            "." => dots_resolved = true,
            ".." => {
                dots_resolved = true;
                let parent = path.rfind('/').ok_or(BadPath::AboveRoot)?;
                path.truncate(parent);
            }
            _ if hides_dots(segment) => return Err(BadPath::HiddenDots),
            _ => {
                path.push('/');
                path.push_str(segment);
            }
        }
    }
    if ends_in_slash {
        path.push('/');
    }
    Ok(RequestPath { path: Cow::Owned(path), dots_resolved })
}

/// Whether nothing in the path can need work: no escape, NUL or backslash, no two slashes in a row, and no segment that begins as a
/// dot segment could. One pass; what it takes for work and is none, the slow way finds out.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for (i, byte) in path.iter().enumerate() {
        match byte {
            b'%' | b'\\' | 0 => return false,
            b'/' if before == b'/' => return false,
            b'.' if before == b'/' && matches!(path.get(i + 1), None | Some(b'.' | b'/' | b'\\' | b';' | b'%')) => return false,
            _ => {}
        }
        before = *byte;
    }
    true
}

/// Decodes escapes, but for those that have to stay.
fn decode(raw: &str) -> Result<String, BadPath> {
    let mut decoded = String::with_capacity(raw.len());
    // Bytes that escapes have given and that are not known to be UTF-8 yet.
    let mut pending = Vec::new();
    let mut rest = raw;
    loop {
        let (literal, escape) = rest.split_once('%').map_or((rest, None), |(literal, escape)| (literal, Some(escape)));
        if !literal.is_empty() {
            flush(&mut decoded, &mut pending);
            decoded.push_str(literal);
        }
        let Some(escape) = escape else { break };
        let (byte, after) = read_escape(escape).ok_or(BadPath::BadEscape)?;
        match byte {
            b'/' | b'\\' | b'%' | b'?' | b'#' => {
                flush(&mut decoded, &mut pending);
                push_escape(&mut decoded, byte);
            }
            _ => pending.push(byte),
        }
        rest = after;
    }
    flush(&mut decoded, &mut pending);
    if decoded.contains('\0') { Err(BadPath::Nul) } else { Ok(decoded) }
}

/// Reads the two digits after `%`, and returns what is behind them.
fn read_escape(text: &str) -> Option<(u8, &str)> {
    let (digits, after) = text.split_at_checked(2)?;
    let mut byte = 0;
    for digit in digits.chars() {
        byte = byte << 4 | u8::try_from(digit.to_digit(16)?).ok()?;
    }
    Some((byte, after))
}

/// Appends the bytes as text where they are UTF-8, as escapes where not.
fn flush(decoded: &mut String, pending: &mut Vec<u8>) {
    for chunk in pending.utf8_chunks() {
        decoded.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| push_escape(decoded, *byte));
    }
    pending.clear();
}

fn push_escape(decoded: &mut String, byte: u8) {
    decoded.push('%');
    for half in [byte >> 4, byte & 15] {
        decoded.extend(char::from_digit(u32::from(half), 16).map(|digit| digit.to_ascii_uppercase()));
    }
}

/// Whether some reader sees a dot segment within a segment: one that takes `%2F`, `%5C` or `\` for a slash, or that cuts what stands
/// behind `;`.
fn hides_dots(segment: &str) -> bool {
    segment.replace("%2F", "\\").replace("%5C", "\\").split('\\').any(|part| matches!(part.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests;
