use std::time::Duration;

use super::*;

const GET_OK: Seen = Seen { method: MethodLabel::Get, status: 200 };

fn count(route: &RouteSeries, of: Seen) {
    route.count(of, Times::Plain { took: Duration::from_millis(1), connect: Duration::ZERO }, 0, 0);
}

fn series(common: &Arc<Common>) -> RouteSeries {
    RouteSeries::new(SeriesLabels::unrouted(), Arc::clone(common))
}

fn seen(series: &RouteSeries) -> Vec<(Seen, u64)> {
    series.pairs().map(|(seen, counts)| (seen, counts.requests())).collect()
}

#[test]
fn each_method_and_status_is_counted_apart_once_it_is_seen() {
    let route = RouteSeries::default();
    assert_eq!(seen(&route), []);
    let post = Seen { method: MethodLabel::Post, status: 201 };
    for of in [GET_OK, post, GET_OK] {
        count(&route, of);
    }
    assert_eq!(seen(&route), [(GET_OK, 2), (post, 1)]);
}

#[test]
fn what_finds_no_room_is_counted_in_common_until_a_route_goes() {
    let common = Arc::new(Common::new(1));
    let (first, second) = (series(&common), series(&common));
    count(&first, GET_OK);
    count(&second, GET_OK);
    count(&second, Seen { status: 503, ..GET_OK });
    let overflowed: Vec<_> = common.overflowed().map(|(class, counts)| (class, counts.requests())).collect();
    assert_eq!(overflowed, [(StatusClass::Success, 1), (StatusClass::ServerError, 1)]);
    assert_eq!((seen(&second), common.room()), (vec![], (1, 1)));
    drop(first);
    count(&second, GET_OK);
    assert_eq!((seen(&second), common.room(), common.gone()), (vec![(GET_OK, 1)], (1, 1), 1));
}

#[test]
fn a_backend_that_makes_statuses_up_does_not_take_all_the_room() {
    let common = Arc::new(Common::default());
    let route = series(&common);
    (100..600).for_each(|status| count(&route, Seen { status, ..GET_OK }));
    assert_eq!((route.pairs().count(), common.room().0), (MOST_PAIRS, MOST_PAIRS));
    let overflowed: u64 = common.overflowed().map(|(_, counts)| counts.requests()).sum();
    assert_eq!(overflowed, 500 - 32);
}

#[test]
fn threads_that_see_a_pair_first_at_once_make_it_once() {
    let common = Arc::new(Common::default());
    let route = series(&common);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (200..220).for_each(|status| count(&route, Seen { status, ..GET_OK })));
        }
    });
    let mut pairs = seen(&route);
    pairs.sort_by_key(|(seen, _)| seen.status);
    assert_eq!(pairs, (200..220).map(|status| (Seen { status, ..GET_OK }, 4)).collect::<Vec<_>>());
    assert_eq!(common.room().0, 20);
}

#[test]
fn the_counts_of_a_pair_stay_small() {
    // What the allocator has blocks for; the first request of a route needs one, and no other.
    assert!(size_of::<Pair>() <= 256, "{} bytes", size_of::<Pair>());
    // With the counts of its `Arc` two lines of the cache, the first of which every request asks for.
    assert!(16 + size_of::<RouteSeries>() <= 128, "{} bytes", size_of::<RouteSeries>());
}
