//! The process itself: what the system says of it, and its clients' connections, under the names of ingress-nginx and of Prometheus' own
//! clients.

use std::fs;

use tidegate_proxy::observe::{ConnectionState, Exposition, Family, FamilyKind, Growth, Metrics, Unit};

/// Ticks a second that the system counts processor time in: fixed for all that Linux tells programs.
const TICKS: f64 = 100.0;

static CONNECTIONS: Family = Family {
    name: "nginx_ingress_controller_nginx_process_connections",
    kind: FamilyKind::Gauge,
    labels: &["state"],
    unit: Unit::One,
    help: "Connections of clients: active is all that are open, reading those being set up, writing those with a request in flight, waiting \
           those without",
    series: Growth::Fixed(4),
};
static CONNECTIONS_TOTAL: Family = Family {
    name: "nginx_ingress_controller_nginx_process_connections_total",
    kind: FamilyKind::Counter,
    labels: &["state"],
    unit: Unit::One,
    help: "Connections of clients that were accepted, all of which are handled",
    series: Growth::Fixed(2),
};
static REQUESTS_TOTAL: Family = Family::single(
    "nginx_ingress_controller_nginx_process_requests_total",
    FamilyKind::Counter,
    Unit::One,
    "Requests that have ended, those of routes that are gone included",
);
static CPU: Family = Family::single(
    "nginx_ingress_controller_nginx_process_cpu_seconds_total",
    FamilyKind::Counter,
    Unit::Seconds,
    "Processor time of the process, like process_cpu_seconds_total",
);
static RESIDENT: Family = Family::single(
    "nginx_ingress_controller_nginx_process_resident_memory_bytes",
    FamilyKind::Gauge,
    Unit::Bytes,
    "Memory of the process that is in use, like process_resident_memory_bytes",
);
static VIRTUAL: Family = Family::single(
    "nginx_ingress_controller_nginx_process_virtual_memory_bytes",
    FamilyKind::Gauge,
    Unit::Bytes,
    "Addresses of the process that are in use, like process_virtual_memory_bytes",
);
static PROCESSES: Family = Family::single(
    "nginx_ingress_controller_nginx_process_num_procs",
    FamilyKind::Gauge,
    Unit::One,
    "Always 1: the threads of one process do all",
);
static OLDEST: Family = Family::single(
    "nginx_ingress_controller_nginx_process_oldest_start_time_seconds",
    FamilyKind::Gauge,
    Unit::UnixSeconds,
    "When the process started, like process_start_time_seconds",
);
static READ: Family = Family::single(
    "nginx_ingress_controller_nginx_process_read_bytes_total",
    FamilyKind::Counter,
    Unit::Bytes,
    "Bytes that the process read, from disks and sockets alike",
);
static WRITTEN: Family = Family::single(
    "nginx_ingress_controller_nginx_process_write_bytes_total",
    FamilyKind::Counter,
    Unit::Bytes,
    "Bytes that the process wrote, to disks and sockets alike",
);
static OWN_CPU: Family =
    Family::single("process_cpu_seconds_total", FamilyKind::Counter, Unit::Seconds, "Processor time, of the user and the system");
static OWN_RESIDENT: Family = Family::single("process_resident_memory_bytes", FamilyKind::Gauge, Unit::Bytes, "Memory that is in use");
static OWN_VIRTUAL: Family = Family::single("process_virtual_memory_bytes", FamilyKind::Gauge, Unit::Bytes, "Addresses that are in use");
static OWN_START: Family = Family::single("process_start_time_seconds", FamilyKind::Gauge, Unit::UnixSeconds, "When the process started");
static OPEN_FILES: Family = Family::single("process_open_fds", FamilyKind::Gauge, Unit::One, "Files and sockets that are open");
static MOST_FILES: Family = Family::single("process_max_fds", FamilyKind::Gauge, Unit::One, "Files and sockets that may be open");

pub(super) static FAMILIES: &[&Family] = &[
    &CONNECTIONS,
    &CONNECTIONS_TOTAL,
    &REQUESTS_TOTAL,
    &CPU,
    &RESIDENT,
    &VIRTUAL,
    &PROCESSES,
    &OLDEST,
    &READ,
    &WRITTEN,
    &OWN_CPU,
    &OWN_RESIDENT,
    &OWN_VIRTUAL,
    &OWN_START,
    &OPEN_FILES,
    &MOST_FILES,
];

/// Writes all of them; what the system does not tell is left out.
pub(super) fn write(out: &mut Exposition, metrics: &Metrics, requests: u64) {
    let mut by_state = [("active", 0), ("reading", 0), ("writing", 0), ("waiting", 0)];
    let [(_, active), (_, reading), (_, writing), (_, waiting)] = &mut by_state;
    for (_, state, count) in metrics.clients().open() {
        *active += count;
        match state {
            ConnectionState::Handshake => *reading += count,
            ConnectionState::Active => *writing += count,
            ConnectionState::Idle | ConnectionState::Asleep => *waiting += count,
        }
    }
    let mut samples = out.shared_family(&CONNECTIONS);
    for (state, count) in by_state {
        samples.sample(&[state], count);
    }
    out.shared_family(&CONNECTIONS_TOTAL)
        .sample(&["accepted"], metrics.clients().accepted())
        .sample(&["handled"], metrics.clients().accepted());
    out.shared_family(&REQUESTS_TOTAL).sample(&[], requests);
    out.shared_family(&PROCESSES).sample(&[], 1);
    let usage = Usage::read();
    for (family, value) in [
        (&CPU, usage.cpu),
        (&RESIDENT, usage.resident),
        (&VIRTUAL, usage.virtual_memory),
        (&OLDEST, usage.started),
        (&READ, usage.read),
        (&WRITTEN, usage.written),
    ] {
        if let Some(value) = value {
            out.shared_family(family).sample(&[], value);
        }
    }
    for (family, value) in [
        (&OWN_CPU, usage.cpu),
        (&OWN_RESIDENT, usage.resident),
        (&OWN_VIRTUAL, usage.virtual_memory),
        (&OWN_START, usage.started),
        (&OPEN_FILES, usage.open_files),
        (&MOST_FILES, usage.most_files),
    ] {
        if let Some(value) = value {
            out.family(family).sample(&[], value);
        }
    }
}

/// What the system says of the process, in seconds and bytes; `None` where it does not.
#[derive(Debug)]
struct Usage {
    cpu: Option<f64>,
    resident: Option<f64>,
    virtual_memory: Option<f64>,
    started: Option<f64>,
    read: Option<f64>,
    written: Option<f64>,
    open_files: Option<f64>,
    most_files: Option<f64>,
}

impl Usage {
    fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (stat, status, io) = (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/io"));
        // The second field is the name, which may have spaces and parentheses in it.
        let field = |number: usize| number_in(stat.rsplit_once(')')?.1.split_whitespace().nth(number - 3)?);
        let kilobytes = |name| Some(named(&status, name)? * 1024.0);
        let booted = named(&read("/proc/stat"), "btime");
        #[expect(clippy::cast_precision_loss, reason = "open files are few")]
        let open_files = fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        Self {
            cpu: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS),
            resident: kilobytes("VmRSS:"),
            virtual_memory: kilobytes("VmSize:"),
            started: booted.zip(field(22)).map(|(booted, ticks)| booted + ticks / TICKS),
            read: named(&io, "rchar:"),
            written: named(&io, "wchar:"),
            open_files,
            most_files: named(&read("/proc/self/limits"), "Max open files"),
        }
    }
}

/// Returns the number that follows a name at the start of a line.
fn named(text: &str, name: &str) -> Option<f64> {
    number_in(text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?)
}

fn number_in(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_of_this_very_process() {
        let usage = Usage::read();
        assert!(usage.resident.is_some_and(|bytes| (1e6..1e11).contains(&bytes)), "{usage:?}");
        assert!(usage.virtual_memory > usage.resident && usage.cpu.is_some_and(|seconds| seconds < 1e6), "{usage:?}");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        assert!(usage.started.is_some_and(|started| (now - 86_400.0..now + 2.0).contains(&started)), "{usage:?}");
        assert!(usage.open_files.is_some_and(|open| open > 2.0) && usage.most_files > usage.open_files, "{usage:?}");
    }
}
