//! The memory that all exchanges of a worker read into and write from, one after the other: it stays warm, and an exchange that waits
//! holds none of it.

use std::cell::{RefCell, RefMut};
use std::ops::{Deref, DerefMut};

use bytes::BytesMut;

/// A worker's memory for heads and small bodies.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Room {
    read: RefCell<BytesMut>,
    written: RefCell<Vec<u8>>,
}

impl Room {
    /// How much is read into it at once.
    pub(super) const SIZE: usize = 16 * 1024;
    /// How much is read at once at most, when it is known to come.
    pub(super) const LARGEST: usize = 256 * 1024;
    /// With less than this left, it is made anew.
    const LEAST: usize = 4 * 1024;
    /// A head larger than this is not kept room for.
    const USUAL_HEAD: usize = 64 * 1024;

    /// Lends it to a read.
    pub(super) fn borrow(&self) -> ForRead<'_> {
        let mut read = self.read.borrow_mut();
        if read.capacity() < Self::LEAST {
            // What was read may still be in use; if not, the same memory serves again.
            read.reserve(Self::SIZE);
        }
        ForRead(read)
    }

    /// Lends it to a head that is written, and then used.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut text = self.written.borrow_mut();
        text.clear();
        let result = write(&mut text);
        text.shrink_to(Self::USUAL_HEAD);
        result
    }
}

/// What a read has room in.
pub(super) struct ForRead<'r>(RefMut<'r, BytesMut>);

impl ForRead<'_> {
    /// Whether there might have been more to read.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }

    /// Takes what was read.
    pub(super) fn take(mut self) -> BytesMut {
        self.0.split()
    }
}

impl Deref for ForRead<'_> {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.0
    }
}

impl DerefMut for ForRead<'_> {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.0
    }
}
