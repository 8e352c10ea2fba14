//! Processes of a run: started on a core, ended with the run, and what they have cost, as the kernel counts it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// The core that the proxies have.
pub const PROXY_CORE: &str = "0";
/// The core that the backend and the generator share.
pub const LOAD_CORE: &str = "1";

/// How long a process may take to end once it was asked to; callgrind writes its profile in that time.
const PATIENCE: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_millis(10);

/// A process that is killed when it goes out of scope.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

/// What processes have used of the processor so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    /// Time on a core, in nanoseconds.
    pub nanos: u64,
    /// Ticks in user mode, of those that fell while they ran.
    pub user_ticks: u64,
    /// All ticks that fell while they ran.
    pub ticks: u64,
}

/// Returns a command that runs a program on one core. The program replaces `taskset`, so that the child is the program itself.
pub fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(program);
    command
}

impl Process {
    /// Starts a command whose output goes to a file.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = fs::File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {command:?}"))? })
    }

    /// Returns whether it runs still.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the numbers of the process and of its descendants.
    fn family(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
                Some((id, stat(id)?.first()?.parse().ok()?))
            })
            .collect();
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        family
    }

    /// Returns what it and its descendants have used so far.
    pub fn used(&self) -> Used {
        let mut used = Used::default();
        for id in self.family() {
            for task in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                used.nanos += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap_or_default();
            }
            let fields = stat(id).unwrap_or_default();
            let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
            used.user_ticks += ticks(10);
            used.ticks += ticks(10) + ticks(11);
        }
        used
    }

    /// Returns the memory of it and of its descendants in KiB, pages that several processes share counted in proportion.
    pub fn pss_kib(&self) -> u64 {
        self.rollup("Pss:")
    }

    /// Returns what of it is no part of a file, such as a program's own code: who else runs the same program makes no difference.
    pub fn pss_anonymous_kib(&self) -> u64 {
        self.rollup("Pss_Anon:")
    }

    fn rollup(&self, name: &str) -> u64 {
        self.family()
            .into_iter()
            .filter_map(|id| {
                let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
                rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok())
            })
            .sum()
    }
}

/// Returns the fields of `/proc/ID/stat` from the parent's number on.
fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before may hold spaces and parentheses.
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').skip(1).map(str::to_owned).collect())
}

impl std::ops::Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(before.nanos),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            ticks: self.ticks.saturating_sub(before.ticks),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A master that is asked to end takes its workers with it.
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        for _ in 0..PATIENCE.as_millis() / REST.as_millis() {
            if !self.runs() {
                return;
            }
            std::thread::sleep(REST);
        }
        for id in self.family() {
            let _ = Command::new("kill").args(["-s", "KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_of_descendants_counts() -> anyhow::Result<()> {
        let log = tempfile::NamedTempFile::new()?;
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & wait"]);
        let process = Process::start(&mut command, log.path())?;
        while process.used().nanos < 50_000_000 {
            std::thread::yield_now();
        }
        let family = process.family();
        assert_eq!(family.len(), 2, "{family:?}");
        assert!(process.pss_anonymous_kib() > 0 && process.pss_kib() > process.pss_anonymous_kib());
        for id in family {
            Command::new("kill").arg(id.to_string()).status()?;
        }
        Ok(())
    }
}
