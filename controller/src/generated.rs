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
