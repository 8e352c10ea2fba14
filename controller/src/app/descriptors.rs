//! How many connections the system lets the process have.

/// Descriptors that are not for connections: logs, watches, listeners, files that are read.
const RESERVED: u64 = 64;
/// A client's connection may need another one to an endpoint.
const PER_CONNECTION: usize = 2;

/// Idle connections to endpoints have at most one of so many.
const IDLE_SHARE: u64 = 8;

/// Connections that are had at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    /// Those of clients.
    pub(super) clients: usize,
    /// Those to endpoints that each worker keeps while they are idle.
    pub(super) idle: usize,
}

/// Raises the limit of open files as far as it goes, and returns how many connections can be had with it: at most `wanted`. Soft limits
/// of 1,024 are common; beyond, endpoints would be blamed for connections that only we could not make.
pub(super) fn connections(wanted: Connections, workers: usize) -> Connections {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => fit(wanted, workers, limit),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            wanted
        }
    }
}

fn fit(wanted: Connections, workers: usize, limit: u64) -> Connections {
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let all = limit.saturating_sub(RESERVED);
    let workers = workers.max(1);
    let idle = wanted.idle.min(number(all / IDLE_SHARE) / workers).max(1);
    let rest = number(all).saturating_sub(idle.saturating_mul(workers));
    Connections { clients: wanted.clients.min(rest / PER_CONNECTION).max(1), idle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_open_files_leaves_room_for_endpoints() {
        let wanted = Connections { clients: 65_536, idle: 2_048 };
        for (limit, workers, clients, idle) in [
            (1_024, 2, 420, 60),
            (4_096, 8, 1_764, 63),
            (1_048_576, 8, 65_536, 2_048),
            (1_048_576, 128, 65_536, 1_023),
            (u64::MAX, 8, 65_536, 2_048),
            (10, 4, 1, 1),
        ] {
            let fitting = fit(wanted, workers, limit);
            assert_eq!(fitting, Connections { clients, idle }, "{limit}");
            let used = 64 + fitting.clients * 2 + fitting.idle * workers;
            assert!(limit < 100 || used as u64 <= limit, "{used} of {limit}");
        }
    }
}
