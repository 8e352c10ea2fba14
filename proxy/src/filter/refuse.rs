//! Refuses every request: what a route does whose protection could not be understood, so that it never stands open.

use super::{Answer, Flow};
use crate::error::Reason;

pub(super) fn apply(reason: Reason) -> Flow {
    Flow::Answer(Answer::from(reason))
}

#[cfg(test)]
mod tests {
    use super::super::{Exchange, Filter};
    use super::*;

    #[test]
    fn every_request_is_refused_with_the_reason() {
        let flow = Filter::Refuse(Reason::ProtectionRefused).apply(&mut Exchange::example());
        assert!(matches!(flow, Flow::Answer(answer) if answer == Answer::from(Reason::ProtectionRefused)));
    }
}
