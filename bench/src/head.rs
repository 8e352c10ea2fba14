//! Just enough of an HTTP/1.1 head for a backend and a generator that know each other's messages.

/// Returns the length of the head at the start of these bytes, its blank line included; `None` while it is not complete.
pub fn length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Returns a header's value.
pub fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (field, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.trim_ascii())
    })
}

/// Returns a header's value as a number.
pub fn number(head: &[u8], name: &str) -> Option<usize> {
    std::str::from_utf8(field(head, name)?).ok()?.parse().ok()
}

/// Returns the status of a response's head.
pub fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_whatever_the_case_of_its_names() {
        let head = b"HTTP/1.1 204 No\r\ncontent-LENGTH: 12\r\n\r\nbody";
        assert_eq!(length(head), Some(head.len() - 4));
        assert_eq!(status(head), Some(204));
        assert_eq!(number(head, "Content-Length"), Some(12));
        assert_eq!(number(head, "Content"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\n\r"), None);
    }
}
