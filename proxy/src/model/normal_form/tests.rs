//! Normal forms of paths, held against a naive reference.

use super::*;
use proptest::prelude::*;

/// Returns the normal form, marked with `!` where dots were resolved.
fn read(raw: &str) -> Result<String, BadPath> {
    normalize(raw).map(|path| format!("{}{}", if path.dots_resolved { "!" } else { "" }, path.path))
}

#[test]
fn paths_are_decoded_merged_and_resolved() {
    for (raw, normal) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a/.../a..", "/..a/.../a.."),
        ("/%61/%7Eb", "/a/~b"),
        ("/@me", "/@me"),
        ("/%40me", "/@me"),
        ("/a%20b", "/a b"),
        ("/a+b", "/a+b"),
        ("/caf\u{e9}", "/caf\u{e9}"),
        ("/caf%c3%a9", "/caf\u{e9}"),
        ("/e\u{301}", "/e\u{301}"),
        ("/a%2fb%5cc%25d%3fe%23f", "/a%2Fb%5Cc%25d%3Fe%23f"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/%ff%C3(", "/%FF%C3("),
        ("/%c3%28%C0%AE", "/%C3(%C0%AE"),
        ("/%e2%82%ac%e2%82", "/\u{20ac}%E2%82"),
        ("//a///b//", "/a/b/"),
        ("/a/./b", "!/a/b"),
        ("/a/.", "!/a/"),
        ("/a/..", "!/"),
        ("/a/b/..", "!/a/"),
        ("/a/../b", "!/b"),
        ("/a//../b", "!/b"),
        ("/a/%2e%2E/b", "!/b"),
        ("/a/.%2e/b/", "!/b/"),
        ("/.", "!/"),
        ("/a;x/../b", "!/b"),
        ("/a\\b", "/a\\b"),
        ("/a;b", "/a;b"),
        ("/a%2F.b", "/a%2F.b"),
        ("/a;..", "/a;.."),
        ("/{id}", "/{id}"),
        ("/%7Bid%7d", "/{id}"),
        ("/%0A", "/\n"),
    ] {
        assert_eq!(read(raw).as_deref(), Ok(normal), "{raw}");
    }
}

#[test]
fn paths_that_could_mean_two_things_are_refused() {
    for (raw, bad) in [
        ("", BadPath::NotAbsolute),
        ("*", BadPath::NotAbsolute),
        ("a/b", BadPath::NotAbsolute),
        ("/%", BadPath::BadEscape),
        ("/%4", BadPath::BadEscape),
        ("/%4g", BadPath::BadEscape),
        ("/%+4", BadPath::BadEscape),
        ("/%\u{e9}", BadPath::BadEscape),
        ("/a%00", BadPath::Nul),
        ("/a\0", BadPath::Nul),
        ("/..", BadPath::AboveRoot),
        ("/a/../..", BadPath::AboveRoot),
        ("/%2e%2e/a", BadPath::AboveRoot),
        ("/a/..%2f", BadPath::HiddenDots),
        ("/a/%2E%2E%2Fb", BadPath::HiddenDots),
        ("/a%2F..", BadPath::HiddenDots),
        ("/a%2f.%2fb", BadPath::HiddenDots),
        ("/a/..%5cb", BadPath::HiddenDots),
        ("/a\\..\\b", BadPath::HiddenDots),
        ("/..\\", BadPath::HiddenDots),
        ("/a/..;/b", BadPath::HiddenDots),
        ("/a/..;x=1/b", BadPath::HiddenDots),
        ("/a/.;/b", BadPath::HiddenDots),
        ("/a/%2e%2e%3b/b", BadPath::HiddenDots),
        ("/a%2F..;x", BadPath::HiddenDots),
    ] {
        assert_eq!(read(raw), Err(bad), "{raw}");
    }
}

#[test]
fn a_path_in_normal_form_is_borrowed() {
    for raw in ["/", "/a/b.html", "/.well-known/acme-challenge/x", "/caf\u{e9}/@me;v=1"] {
        assert!(matches!(normalize(raw), Ok(RequestPath { path: Cow::Borrowed(_), .. })), "{raw}");
    }
}

#[test]
fn a_resolved_path_is_escaped_again_and_keeps_its_query() {
    for (raw, query, target) in [
        ("/a/../b%20c", Some("x=/../%zz"), "/b%20c?x=/../%zz"),
        ("/a/../caf\u{e9}", None, "/caf%C3%A9"),
        ("/./%40%2f%ff{", Some(""), "/@%2F%FF%7B?"),
        ("/x/..", None, "/"),
    ] {
        let path = normalize(raw).unwrap_or_else(|e| unreachable!("{raw}: {e}"));
        assert!(path.dots_resolved, "{raw}");
        assert_eq!(path.target(query).map(|target| target.as_str().to_owned()).ok().as_deref(), Some(target), "{raw}");
    }
}

#[test]
fn http_refuses_and_lets_through_what_the_documentation_of_this_module_says() {
    let refused = |target: &[u8]| PathAndQuery::try_from(target).is_err();
    let characters: String = (1..=0x7f).map(char::from).filter(|c| refused(format!("/{c}").as_bytes())).collect();
    let visible: String = characters.chars().filter(char::is_ascii_graphic).collect();
    assert_eq!(visible, "<>`");
    assert_eq!(characters.len() - visible.len(), 0x21, "all control characters but NUL, which this test leaves out, space and DEL");
    assert!(refused(b"/\0") && refused(b"/\xff") && !refused("/\u{e9}".as_bytes()));
    assert!(!refused(&[b'/'; 65_534]) && refused(&[b'/'; 65_535]));
    assert_eq!(PathAndQuery::try_from("/a#b?c").map(|target| target.to_string()).ok().as_deref(), Some("/a"));
}

/// The rules spelt out on tokens, slowly: what the property test holds the real thing against. `None` is refused.
mod oracle {
    #[derive(Clone, Copy, PartialEq)]
    enum Token {
        Slash,
        Byte(u8),
        Escape(u8),
    }

    fn tokens(raw: &[u8]) -> Option<Vec<Token>> {
        let mut tokens = Vec::new();
        let mut bytes = raw.iter().copied();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'/' => Token::Slash,
                b'%' => {
                    let pair = [bytes.next()?, bytes.next()?];
                    let text = std::str::from_utf8(&pair).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
                    let byte = u8::from_str_radix(text, 16).ok()?;
                    if b"/\\%?#".contains(&byte) { Token::Escape(byte) } else { Token::Byte(byte) }
                }
                _ => Token::Byte(byte),
            });
        }
        (tokens.first() == Some(&Token::Slash) && !tokens.contains(&Token::Byte(0))).then_some(tokens)
    }

    fn is_dots(segment: &[Token]) -> bool {
        segment == [Token::Byte(b'.')] || segment == [Token::Byte(b'.'), Token::Byte(b'.')]
    }

    fn is_hidden(segment: &[Token]) -> bool {
        let separators = [Token::Byte(b'\\'), Token::Escape(b'\\'), Token::Escape(b'/')];
        let mut parts = segment.split(|token| separators.contains(token));
        !is_dots(segment) && parts.any(|part| part.split(|token| *token == Token::Byte(b';')).next().is_some_and(is_dots))
    }

    fn render(segment: &[Token]) -> String {
        let mut text = String::new();
        let mut rest = segment;
        while let Some((first, after)) = rest.split_first() {
            let char_at = |length| {
                let bytes: Option<Vec<u8>> =
                    rest.get(..length)?.iter().map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect();
                String::from_utf8(bytes?).ok()
            };
            match ((1..=4).find_map(|length| Some((char_at(length)?, length))), first) {
                (Some((char, length)), _) => {
                    text.push_str(&char);
                    rest = rest.get(length..).unwrap_or_default();
                }
                (None, Token::Byte(byte) | Token::Escape(byte)) => {
                    text.push_str(&format!("%{byte:02X}"));
                    rest = after;
                }
                (None, Token::Slash) => unreachable!("segments have no slash"),
            }
        }
        text
    }

    pub(super) fn normalize(raw: &str) -> Option<(String, bool)> {
        let tokens = tokens(raw.as_bytes())?;
        let segments: Vec<_> = tokens.split(|token| *token == Token::Slash).filter(|segment| !segment.is_empty()).collect();
        let mut kept: Vec<&[Token]> = Vec::new();
        for segment in &segments {
            match segment {
                [Token::Byte(b'.')] => {}
                [Token::Byte(b'.'), Token::Byte(b'.')] => drop(kept.pop()?),
                _ if is_hidden(segment) => return None,
                _ => kept.push(segment),
            }
        }
        let slash_at_end = tokens.last() == Some(&Token::Slash) || segments.last().is_some_and(|last| is_dots(last));
        let text: String = kept.iter().map(|segment| format!("/{}", render(segment))).collect();
        Some((if slash_at_end || text.is_empty() { text + "/" } else { text }, segments.iter().any(|segment| is_dots(segment))))
    }
}

/// Paths of what matters: separators, dots, escapes good and bad, parts of UTF-8.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => Just("/".to_owned()),
        4 => Just(".".to_owned()),
        2 => prop::sample::select(vec!["\\", ";", "a", "{", "}", "\u{e9}", " ", "*", "?", "%"]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["%2f", "%5C", "%2e", "%2E", "%3b", "%25", "%3F", "%61", "%00", "%c3", "%A9", "%ff", "%2"])
            .prop_map(str::to_owned),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn every_path_is_read_as_the_rules_spelt_out_say(raw in paths()) {
        let read = normalize(&raw).ok().map(|path| (path.path.into_owned(), path.dots_resolved));
        prop_assert_eq!(read, oracle::normalize(&raw));
    }

    #[test]
    fn a_normal_form_is_its_own_and_so_is_its_target(raw in paths()) {
        let Ok(path) = normalize(&raw) else { return Ok(()) };
        prop_assert!(!path.path.contains("//") && !path.path.split('/').any(|segment| matches!(segment, "." | "..")));
        let again = normalize(&path.path).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&*again.path, &*path.path);
        prop_assert!(!again.dots_resolved);
        if !path.path.contains(['?', '#']) {
            let target = path.target(Some("q")).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(target.query(), Some("q"));
            let target = normalize(target.path()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(target.path, path.path);
        }
    }
}
