//! What of a request's head is needed should it have to be sent again.
//!
//! Hardly any is. A clone of the header map would cost each request two allocations and a pair of counts for each field, and the map that
//! was sent, grown to its size, could not be used again for the next request. So the head is written down as text into a buffer that the
//! worker keeps, and read back only when it is needed.

use std::cell::RefCell;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// How many buffers a worker keeps: about as many as it has requests under way.
const MOST_BUFFERS: usize = 256;
/// Larger ones are not kept.
const LARGEST_BUFFER: usize = 8 * 1024;

/// A worker's buffers for heads.
#[derive(Debug, Default)]
pub(super) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < MOST_BUFFERS && buffer.capacity() <= LARGEST_BUFFER {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

/// A head, written down.
#[derive(Debug)]
pub(super) struct SavedHead<'w> {
    method: Method,
    /// The target, then names and values in turn, each after its length.
    text: Vec<u8>,
    buffers: &'w Buffers,
}

impl<'w> SavedHead<'w> {
    /// Writes down the method, the target and the fields.
    pub(super) fn of(head: &Parts, buffers: &'w Buffers) -> Self {
        let mut text = buffers.take();
        write(&mut text, head.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
        for (name, value) in &head.headers {
            write(&mut text, name.as_str().as_bytes());
            write(&mut text, value.as_bytes());
        }
        Self { method: head.method.clone(), text, buffers }
    }

    /// Reads it back into a head. `None` if it cannot be, which would be a fault of ours.
    pub(super) fn restore(&self, head: &mut Parts) -> Option<()> {
        let mut rest = self.text.as_slice();
        head.method = self.method.clone();
        head.uri = Uri::try_from(read(&mut rest)?).ok()?;
        head.headers = HeaderMap::new();
        while !rest.is_empty() {
            let name = HeaderName::from_bytes(read(&mut rest)?).ok()?;
            let value = HeaderValue::from_bytes(read(&mut rest)?).ok()?;
            head.headers.append(name, value);
        }
        Some(())
    }
}

impl Drop for SavedHead<'_> {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.text));
    }
}

fn write(text: &mut Vec<u8>, part: &[u8]) {
    text.extend_from_slice(&part.len().to_ne_bytes());
    text.extend_from_slice(part);
}

fn read<'t>(text: &mut &'t [u8]) -> Option<&'t [u8]> {
    let (length, rest) = text.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(usize::from_ne_bytes(*length))?;
    *text = rest;
    Some(part)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_read_back() {
        let buffers = Buffers::default();
        for (target, fields) in [
            ("/", &[][..]),
            (
                "/a%20b?c=d&%zz",
                &[("host", &b"a.test"[..]), ("x-many", b"one"), ("x-many", b"two"), ("x-empty", b""), ("x-high", b"\xe9\t")],
            ),
            ("*", &[("content-length", b"0")]),
        ] {
            let empty = || http::Request::new(()).into_parts().0;
            let mut head = empty();
            head.method = Method::OPTIONS;
            head.uri = target.parse().unwrap();
            for (name, value) in fields {
                head.headers.append(*name, HeaderValue::from_bytes(value).unwrap());
            }
            let mut restored = empty();
            restored.headers.insert("x-before", HeaderValue::from_static("gone"));
            SavedHead::of(&head, &buffers).restore(&mut restored).unwrap();
            assert_eq!((restored.method, restored.uri, restored.headers), (head.method, head.uri, head.headers));
        }
        assert_eq!(buffers.0.borrow().len(), 1, "one buffer served them all");
    }
}
