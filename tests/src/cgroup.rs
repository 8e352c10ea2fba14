//! A control group with a CPU quota, for what the process does within one. Only root may make it, and only where the cpu controller is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A control group that allows so much CPU time. It is removed when it goes out of scope; by then nothing may run in it.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one of either version.
    ///
    /// # Errors
    /// This machine does not allow it: says why.
    pub fn with_cpus(cpus: u32) -> anyhow::Result<Self> {
        const PERIOD_US: u32 = 100_000;
        let name = format!("tidegate-tests-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let (parent, settings) = if let Ok(controllers) = fs::read_to_string(root.join("cgroup.subtree_control")) {
            if !controllers.split_whitespace().any(|controller| controller == "cpu") {
                bail!("the cpu controller is not handed down in {}", root.display());
            }
            (root.to_owned(), vec![("cpu.max", format!("{} {PERIOD_US}", cpus * PERIOD_US))])
        } else {
            let quota = vec![("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", (cpus * PERIOD_US).to_string())];
            (root.join("cpu"), quota)
        };
        let group = parent.join(name);
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
        let group = Self(group);
        for (file, value) in settings {
            let path = group.0.join(file);
            fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(group)
    }

    /// Returns the program, with its arguments, that goes into the group and then replaces itself by what follows.
    #[must_use]
    pub fn enter(&self) -> [String; 3] {
        ["sh".to_owned(), "-c".to_owned(), format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", self.0.display())]
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A group that still holds a process stays, which its name tells about.
        let _ = fs::remove_dir(&self.0);
    }
}
