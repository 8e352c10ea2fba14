//! How many series `/metrics` may have, and who gets how many of them.
//!
//! What is fixed comes first; certificates and Ingresses in want get a twentieth each, requests the rest. What finds no room within its share is
//! counted together, under the value `_overflow`.

use tidegate_proxy::observe::{Exposition, Family, FamilyKind, Growth, Label as _, StatusClass, Unit};

/// Of how many series certificates get one, and orphaned Ingresses another.
const OBJECT_SHARE: usize = 20;

static LIMIT: Family = gauge("tidegate_metrics_series_limit", "Series that this page may have: --metrics-series-limit");
static ROOM: Family = gauge("tidegate_metrics_request_kinds_limit", "Triples of route, method and status that are counted apart, at most");
static USED: Family = gauge("tidegate_metrics_request_kinds", "Triples of route, method and status that are counted apart now");

pub(super) static FAMILIES: &[&Family] = &[&LIMIT, &ROOM, &USED];

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family::single(name, FamilyKind::Gauge, Unit::One, help)
}

/// How many series there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    limit: usize,
}

impl Budget {
    /// The smallest limit that makes sense: what is fixed, and some room.
    pub const LEAST: i64 = 1_000;

    /// Shares so many series out.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }

    /// Returns how many pairs of method and status all routes may have, together.
    #[must_use]
    pub fn pairs(self) -> usize {
        let fixed = Self::fixed() + self.certificates() + self.orphans();
        self.limit.saturating_sub(fixed) / Self::of_each(|growth| if let Growth::Requests(series) = growth { series } else { 0 }).max(1)
    }

    /// Returns how many certificates may be shown.
    #[must_use]
    pub fn certificates(self) -> usize {
        self.limit / OBJECT_SHARE
    }

    /// Returns how many Ingresses in want may be shown.
    #[must_use]
    pub fn orphans(self) -> usize {
        self.limit / OBJECT_SHARE
    }

    /// Returns how many series there are at most whatever is served, those that stand for what found no room included.
    #[must_use]
    pub fn fixed() -> usize {
        Self::of_each(|growth| match growth {
            Growth::Fixed(series) => series,
            Growth::Requests(series) => series * StatusClass::ALL.len(),
            Growth::Certificates(series) => series,
            // One for each type of want.
            Growth::Orphans(series) => series * 2,
        })
    }

    fn of_each(series: impl Fn(Growth) -> usize) -> usize {
        super::families().map(|family| series(family.series)).sum()
    }

    pub(super) fn write(self, out: &mut Exposition, room: (usize, usize)) {
        let (used, most) = room;
        for (family, value) in [(&LIMIT, self.limit), (&ROOM, most), (&USED, used)] {
            out.family(family).sample(&[], value);
        }
    }
}
