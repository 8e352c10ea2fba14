//! The bytes of every body, so that whoever receives one can tell each wrong byte.

use std::sync::OnceLock;

/// The longest body that there is.
pub const LONGEST: usize = 1 << 20;

/// Returns the first `length` bytes of what every body is a beginning of; at most [`LONGEST`] of them.
pub fn body(length: usize) -> &'static [u8] {
    static CONTENT: OnceLock<Vec<u8>> = OnceLock::new();
    let content = CONTENT.get_or_init(|| {
        // A linear congruential generator (the constants are Knuth's): no two places of a body look alike.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(LONGEST)
        .collect()
    });
    content.get(..length).unwrap_or(content)
}

/// Tells whether `piece` is what stands at `offset` of a body.
pub fn matches(offset: usize, piece: &[u8]) -> bool {
    body(LONGEST).get(offset..).is_some_and(|rest| rest.starts_with(piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_at_another_place_does_not_match() {
        let (_, piece) = body(5_000).split_at(4_096);
        assert!(matches(4_096, piece));
        assert!(!matches(4_097, piece));
        assert!(!matches(LONGEST - 1, body(2)));
    }
}
