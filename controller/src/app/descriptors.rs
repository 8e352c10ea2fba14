//! How many connections the system lets the process have.

/// Descriptors that are not for connections: logs, watches, listeners, files that are read.
const RESERVED: u64 = 64;
/// A client's connection may need another one to an endpoint.
const PER_CONNECTION: u64 = 2;

/// Raises the limit of open files as far as it goes, and returns how many connections can be served with it: at most `wanted`. Soft limits
/// of 1,024 are common; beyond, endpoints would be blamed for connections that only we could not make.
pub(super) fn connections(wanted: usize) -> usize {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => fit(wanted, limit),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            wanted
        }
    }
}

fn fit(wanted: usize, limit: u64) -> usize {
    let possible = usize::try_from(limit.saturating_sub(RESERVED) / PER_CONNECTION).unwrap_or(usize::MAX).max(1);
    wanted.min(possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_open_files_leaves_room_for_endpoints() {
        for (limit, expected) in [(1024, 480), (1_048_576, 65_536), (u64::MAX, 65_536), (10, 1)] {
            assert_eq!(fit(65_536, limit), expected, "{limit}");
        }
    }
}
