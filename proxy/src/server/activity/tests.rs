//! What is due, by what a connection does and for how long.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn opened(protocol: Protocol, phase: Phase) -> Arc<Activity> {
    let activity = Activity::new(limits(), phase);
    activity.begin_http(protocol);
    Arc::new(activity)
}

fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        header_timeout: 3 * SECOND,
        // Sooner than sleep.
        keep_alive: SLEEP_AFTER - SECOND,
        h2_idle: 7 * SECOND,
        write_timeout: 4 * SECOND,
        ..Limits::default()
    })
}

/// Sweeps until something is due; returns what, and after how many sweeps.
fn first_due(activity: &Activity, phase: Phase) -> (Due, u32) {
    for sweep in 1..100 {
        activity.sweep(SECOND, phase);
        if activity.anything_due() {
            return (activity.due(), sweep);
        }
    }
    (Due::Nothing, 100)
}

#[test]
fn a_slow_head_an_idle_client_and_a_silent_one_have_limits_of_their_own() {
    let silent = opened(Protocol::Http1, Phase::Serving);
    assert_eq!(first_due(&silent, Phase::Serving), (Due::Close, 4));

    let slow = opened(Protocol::Http1, Phase::Serving);
    slow.bytes_came();
    assert_eq!(first_due(&slow, Phase::Serving), (Due::HeadLate, 4));

    let idle = opened(Protocol::Http1, Phase::Serving);
    drop(idle.serve(RequestBody::None));
    assert_eq!(first_due(&idle, Phase::Serving), (Due::Close, 2));
    idle.bytes_came();
    assert_eq!(first_due(&idle, Phase::Serving), (Due::HeadLate, 4));
}

#[test]
fn trickling_bytes_do_not_prolong_a_head() {
    let slow = opened(Protocol::Http1, Phase::Serving);
    slow.bytes_came();
    slow.sweep(SECOND, Phase::Serving);
    slow.bytes_came();
    slow.sweep(SECOND, Phase::Serving);
    slow.bytes_came();
    assert_eq!(first_due(&slow, Phase::Serving), (Due::HeadLate, 2));
}

#[test]
fn nothing_is_due_while_a_request_is_served() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let activity = opened(protocol, Phase::Closing);
        let (one, two) = (activity.serve(RequestBody::None), activity.serve(RequestBody::None));
        if protocol == Protocol::Http2 {
            assert_eq!(first_due(&activity, Phase::Closing), (Due::Close, 1), "GOAWAY lets streams finish");
            activity.close();
        }
        assert_eq!(first_due(&activity, Phase::Closing), (Due::Nothing, 100));
        drop(one);
        assert_eq!(first_due(&activity, Phase::Closing), (Due::Nothing, 100));
        drop(two);
        assert_ne!(first_due(&activity, Phase::Closing).0, Due::Nothing);
    }
}

#[test]
fn only_a_client_that_takes_nothing_at_all_is_cut() {
    let activity = opened(Protocol::Http1, Phase::Serving);
    let serving = activity.serve(RequestBody::None);
    for _ in 0..10 {
        activity.write_waits();
        activity.sweep(SECOND, Phase::Serving);
        activity.sweep(SECOND, Phase::Serving);
        activity.bytes_taken();
    }
    assert_eq!(activity.due(), Due::Nothing);
    activity.write_waits();
    assert_eq!(first_due(&activity, Phase::Serving), (Due::WriteStalled, 5));
    drop(serving);
}

#[test]
fn http2_goes_away_at_the_drain_and_a_late_one_when_sockets_close() {
    let early = opened(Protocol::Http2, Phase::Serving);
    assert_eq!(first_due(&early, Phase::Draining), (Due::Close, 1));
    let late = opened(Protocol::Http2, Phase::Draining);
    late.sweep(SECOND, Phase::Draining);
    assert_eq!(late.due(), Due::Nothing);
    assert_eq!(first_due(&late, Phase::Closing), (Due::Close, 1));
}

#[test]
fn idle_http1_stays_while_draining_and_goes_when_sockets_close() {
    let idle = opened(Protocol::Http1, Phase::Serving);
    drop(idle.serve(RequestBody::None));
    idle.sweep(SECOND, Phase::Draining);
    assert_eq!(idle.due(), Due::Nothing);
    assert_eq!(first_due(&idle, Phase::Closing), (Due::Close, 1));
    idle.close();
    idle.sweep(3 * SECOND, Phase::Closing);
    idle.bytes_taken();
    assert_eq!(first_due(&idle, Phase::Closing), (Due::CloseLate, 5), "an end that does not come");
}

#[test]
fn an_idle_http1_connection_sleeps_once_until_bytes_come() {
    let limits = Arc::new(Limits { keep_alive: 10 * SECOND, ..Limits::clone(&limits()) });
    let idle = Arc::new(Activity::new(limits, Phase::Serving));
    idle.begin_http(Protocol::Http1);
    drop(idle.serve(RequestBody::None));
    assert_eq!(first_due(&idle, Phase::Serving), (Due::Sleep, 3));
    idle.sleep();
    assert_eq!(idle.stands(), (ConnectionProtocol::Http1, ConnectionState::Asleep));
    assert_eq!(first_due(&idle, Phase::Serving), (Due::Close, 8), "asleep, it is idle all the same");
    idle.wake();
    idle.bytes_came();
    assert_eq!(first_due(&idle, Phase::Serving), (Due::HeadLate, 4));

    let waiting = opened(Protocol::Http1, Phase::Serving);
    drop(waiting.serve(RequestBody::None));
    waiting.write_waits();
    assert_eq!(first_due(&waiting, Phase::Serving), (Due::Close, 2), "what is written is not on its way yet");
    let http2 = opened(Protocol::Http2, Phase::Serving);
    drop(http2.serve(RequestBody::None));
    assert_eq!(first_due(&http2, Phase::Serving), (Due::Close, 8));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicU32);

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn whoever_is_woken_once_is_woken_again() {
    let bell = Arc::<Bell>::default();
    let idle = opened(Protocol::Http1, Phase::Serving);
    idle.wake_when_due(&Arc::clone(&bell).into());
    drop(idle.serve(RequestBody::None));
    for times in 1..=3 {
        idle.sweep(SECOND, Phase::Closing);
        assert_eq!(bell.0.load(Relaxed), times);
    }
}

#[test]
fn pings_do_not_hold_up_the_end_of_http2_for_ever() {
    let stuck = opened(Protocol::Http2, Phase::Serving);
    drop(stuck.serve(RequestBody::None));
    stuck.close();
    let mut sweeps = 0_u64;
    while stuck.due() == Due::Nothing && sweeps < 1000 {
        stuck.bytes_taken();
        stuck.sweep(SECOND, Phase::Serving);
        sweeps += 1;
    }
    assert_eq!((stuck.due(), sweeps - 1), (Due::CloseLate, LONGEST_CLOSE.as_secs()));
}

#[test]
fn a_client_that_gives_up_request_after_request_is_sent_away() {
    let busy = opened(Protocol::Http2, Phase::Serving);
    let _serving = busy.serve(RequestBody::None);
    let give_up = |requests| (0..requests).for_each(|_| busy.request_cancelled());
    for _ in 0..5 {
        give_up(MOST_CANCELLED);
        busy.sweep(SECOND, Phase::Serving);
        assert_eq!(busy.due(), Due::Nothing);
    }
    give_up(MOST_CANCELLED + 1);
    busy.sweep(SECOND, Phase::Serving);
    assert_eq!(busy.due(), Due::Close);
}
