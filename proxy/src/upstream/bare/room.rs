//! The memory that all exchanges of a worker read into and write from, one after the other: it stays warm, and an exchange that waits
//! holds none of it.

use std::cell::{RefCell, RefMut};
use std::ops::{Deref, DerefMut};

use bytes::BytesMut;

/// A worker's memory for heads and bodies.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Room {
    small: RefCell<Block>,
    /// For connections whose responses were large.
    large: RefCell<Block>,
    written: RefCell<Vec<u8>>,
}

/// Memory that is read into. What was read is a part of it until it is dropped.
#[derive(Debug, Default)]
struct Block {
    free: BytesMut,
    /// Of all, in bytes.
    size: usize,
}

impl Room {
    /// How much is read at once, as long as nothing is known of a connection.
    pub(super) const SIZE: usize = 16 * 1024;
    /// How much is read at once at most.
    pub(super) const LARGEST: usize = 256 * 1024;
    /// With less than this left, memory for usual reads is made anew.
    const LEAST: usize = 4 * 1024;
    /// A head larger than this is not kept room for.
    const USUAL_HEAD: usize = 64 * 1024;

    /// Lends it to a read of this many bytes, or more.
    pub(super) fn borrow(&self, reach: usize) -> ForRead<'_> {
        let (block, wanted, least) = if reach <= Self::SIZE { (&self.small, Self::SIZE, Self::LEAST) } else { (&self.large, reach, reach) };
        let mut block = block.borrow_mut();
        block.make_ready(wanted, least);
        ForRead(block)
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

impl Block {
    /// What is taken holds on to all of the block: it must not be more than so many times as large.
    const MOST_HELD: usize = 4;

    /// Makes it at least `least` large, from its start if nothing of it is in use any more, so that what is in the processor's cache is
    /// used again. If it has to be made anew, it has `wanted` bytes.
    fn make_ready(&mut self, wanted: usize, least: usize) {
        let _whole = self.free.try_reclaim(self.size);
        if self.free.capacity() < least {
            *self = Self { free: BytesMut::with_capacity(wanted), size: wanted };
        }
    }

    fn take(&mut self) -> BytesMut {
        if self.size > Room::SIZE && self.free.len() < self.size / Self::MOST_HELD {
            let taken = BytesMut::from(&*self.free);
            self.free.clear();
            return taken;
        }
        self.free.split()
    }
}

/// What a read has room in.
pub(super) struct ForRead<'r>(RefMut<'r, Block>);

impl ForRead<'_> {
    /// Whether there might have been more to read.
    pub(super) fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// Takes what was read.
    pub(super) fn take(mut self) -> BytesMut {
        self.0.take()
    }
}

impl Deref for ForRead<'_> {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.0.free
    }
}

impl DerefMut for ForRead<'_> {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.0.free
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    /// Reads so many bytes.
    fn read(room: &Room, reach: usize, bytes: usize) -> BytesMut {
        let mut room = room.borrow(reach);
        assert!(room.capacity() >= reach.min(Room::LEAST));
        room.put_bytes(b'x', bytes);
        room.take()
    }

    #[test]
    fn the_same_memory_serves_again_once_it_is_free() {
        let room = Room::default();
        for (reach, bytes) in [(Room::SIZE, 100), (Room::LARGEST, 200_000)] {
            let first = read(&room, reach, bytes);
            let (at, second) = (first.as_ptr(), read(&room, reach, bytes));
            assert_ne!(second.as_ptr(), at, "it is in use");
            drop((first, second));
            let third = read(&room, reach, bytes);
            let after = third.as_ptr();
            drop(third);
            assert_eq!(read(&room, reach, bytes).as_ptr(), after, "and not behind what it was used for");
        }
    }

    #[test]
    fn little_does_not_hold_on_to_much() {
        let room = Room::default();
        drop(read(&room, Room::LARGEST, Room::LARGEST));
        let held = read(&room, Room::LARGEST, 1_000);
        assert!(held.capacity() < 2_000, "{}", held.capacity());
        assert_eq!((held.len(), room.large.borrow().free.capacity()), (1_000, Room::LARGEST));
    }
}
