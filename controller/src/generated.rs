//! Files that are made from the code and committed: tests hold them current.

use std::path::Path;

/// Holds a committed file, named from the workspace's root, equal to what the code makes of it now.
///
/// # Panics
/// When it differs. With `UPDATE_GENERATED` set in the environment the file is written first.
pub(crate) fn assert_current(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        assert!(std::fs::write(&path, generated).is_ok(), "{} can be written", path.display());
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{file} is not current; `UPDATE_GENERATED=1 cargo test -p tidegate --lib` writes it anew");
}

/// Every link from a page to another page, and to a heading of it, leads somewhere.
#[test]
fn links_between_pages_lead_somewhere() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let read = |page: &str| std::fs::read_to_string(docs.join(page)).ok();
    let pages = std::fs::read_dir(&docs).into_iter().flatten().flatten();
    let pages: Vec<_> = pages.filter_map(|page| page.file_name().into_string().ok()).filter(|name| name.ends_with(".md")).collect();
    let mut links = 0;
    for page in &pages {
        let text = read(page).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains("://") {
                continue;
            }
            let (target, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = read(if target.is_empty() { page } else { target });
            assert!(target.is_some(), "{page}: {link} leads to no page");
            let anchors: Vec<_> = target.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with('#')).map(anchor).collect();
            assert!(heading.is_empty() || anchors.iter().any(|anchor| anchor == heading), "{page}: {link} leads to no heading");
            links += 1;
        }
    }
    assert!(links > 20, "only {links} links in {} pages", pages.len());
}

/// Returns what a heading is called in links: lower case, hyphens for spaces, without other punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
