//! Paths, as requests carry them and as rules write them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_proxy::model::{NormalPath, normalize};

fuzz_target!(|raw: &str| {
    let Ok(path) = normalize(raw) else {
        assert!(raw.parse::<NormalPath>().is_err());
        return;
    };
    assert!(path.path.starts_with('/') && !path.path.contains("//") && !path.path.contains('\0'));
    assert!(!path.path.split(['/', '\\']).any(|segment| matches!(segment, "." | "..")));
    let again = normalize(&path.path).expect("a normal form is a path");
    assert_eq!((&again.path, again.dots_resolved), (&path.path, false), "a normal form is its own");
    if let Ok(rule) = raw.parse::<NormalPath>() {
        assert_eq!(rule.as_str(), path.path);
    }
    // `?` and `#` end the path of a request, so that only rules have them unescaped.
    if !path.path.contains(['?', '#'])
        && let Ok(target) = path.target(Some("a=b"))
    {
        assert_eq!(target.query(), Some("a=b"));
        assert_eq!(normalize(target.path()).map(|read| read.path), Ok(path.path), "what goes upstream reads as the same path");
    }
});
