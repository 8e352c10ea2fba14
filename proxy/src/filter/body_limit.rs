//! Limits request bodies: at once where the length is announced, else while the body streams.

use super::{Answer, Exchange, Flow};
use crate::error::Reason;

/// Refuses a body that announces more than `bytes`; has any other counted.
pub(super) fn apply(bytes: u64, exchange: &mut Exchange<'_>) -> Flow {
    if exchange.body_bytes.is_some_and(|announced| announced > bytes) {
        return Flow::Answer(Answer::from(Reason::BodyTooLarge));
    }
    exchange.body_limit = Some(exchange.body_limit.map_or(bytes, |limit| limit.min(bytes)));
    Flow::Continue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_length_is_judged_at_once_and_any_other_is_counted() {
        for (announced, refused) in [(None, false), (Some(0), false), (Some(10), false), (Some(11), true)] {
            let mut exchange = Exchange { body_bytes: announced, ..Exchange::example() };
            let flow = apply(10, &mut exchange);
            assert_eq!(matches!(flow, Flow::Answer(ref answer) if answer.reason == Reason::BodyTooLarge), refused, "{announced:?}");
            assert_eq!(exchange.body_limit, (!refused).then_some(10), "{announced:?}");
        }
    }

    #[test]
    fn the_smaller_of_two_limits_counts() {
        let mut exchange = Exchange::example();
        for bytes in [10, 5, 20] {
            assert!(matches!(apply(bytes, &mut exchange), Flow::Continue));
        }
        assert_eq!(exchange.body_limit, Some(5));
    }
}
