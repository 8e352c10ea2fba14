//! The process of a container: in the network of its Pod or its node, with a root of its own that has nothing but the program,
//! what it is linked against, and the volumes; without the capabilities that it does not ask for. The shell that prepares it replaces itself
//! by it, so that the child's number is the program's.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::process::{Child, Command};

use super::{Image, environment, write};

/// Prepares and becomes the program.
const SCRIPT: &str = r#"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
root=$1 read_only=$2 capabilities=$3 program=$4 mounts=$5 settings=$6
shift 6
while IFS='=' read -r name value; do
  echo "$value" > "/proc/sys/$(echo "$name" | tr . /)"
done < "$settings"
mount -t tmpfs tmpfs "$root"
for name in bin lib lib32 lib64 libx32 sbin usr etc dev proc; do
  if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"
  elif [ -d "/$name" ]; then mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"; fi
done
: > "$root/program"
mount --bind "$program" "$root/program"
while IFS='=' read -r mode target source; do
  if [ -d "$source" ]; then mkdir -p "$root$target"; else mkdir -p "$(dirname "$root$target")"; : > "$root$target"; fi
  mount --bind "$source" "$root$target"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$target"
done < "$mounts"
[ "$read_only" = no ] || mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/setpriv --no-new-privs --inh-caps=-all --bounding-set="$capabilities" /program "$@"
"#;

/// What a container is started with.
#[derive(Debug)]
pub(super) struct Sandbox<'a> {
    pub(super) pod: &'a Pod,
    pub(super) container: &'a Container,
    pub(super) image: &'a Image,
    /// The process that holds the network that it is in.
    pub(super) network: u32,
    pub(super) variables: &'a [(String, String)],
    pub(super) volumes: &'a BTreeMap<String, PathBuf>,
    /// A directory of this start's own.
    pub(super) directory: &'a Path,
    pub(super) log: &'a Path,
}

impl Sandbox<'_> {
    /// Starts the program.
    pub(super) fn start(&self) -> anyhow::Result<Child> {
        let (root, mounts, settings) = (self.directory.join("root"), self.directory.join("mounts"), self.directory.join("sysctls"));
        std::fs::create_dir_all(&root)?;
        write(&mounts, self.mounts()?)?;
        write(&settings, self.settings())?;
        let security = self.container.security_context.as_ref();
        let read_only = security.and_then(|security| security.read_only_root_filesystem) == Some(true);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.network)).args(["unshare", "--mount", "--", "sh", "-euc", SCRIPT, "kubelet"]);
        command.arg(&root).arg(if read_only { "yes" } else { "no" });
        command.arg(self.capabilities()).arg(&self.image.program).arg(&mounts).arg(&settings);
        command.args(self.arguments()?);
        let log = File::options().create(true).append(true).open(self.log)?;
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        command.spawn().context("cannot start nsenter (package util-linux)")
    }

    fn arguments(&self) -> anyhow::Result<Vec<String>> {
        if let Some(instead) = &self.image.instead {
            return Ok(instead.clone());
        }
        ensure!(self.container.command.is_none(), "an image here has one program: a command of the container's own has no meaning");
        Ok(self.container.args.iter().flatten().map(|argument| environment::expand(argument, self.variables)).collect())
    }

    fn mounts(&self) -> anyhow::Result<String> {
        let mut lines = String::new();
        for mount in self.container.volume_mounts.iter().flatten() {
            let volume = self.volumes.get(&mount.name).with_context(|| format!("there is no volume {}", mount.name))?;
            let source = mount.sub_path.as_ref().map_or_else(|| volume.clone(), |below| volume.join(below));
            let mode = if mount.read_only == Some(true) { "ro" } else { "rw" };
            lines.push_str(&format!("{mode}={}={}\n", mount.mount_path, source.display()));
        }
        Ok(lines)
    }

    fn settings(&self) -> String {
        let security = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let settings = security.and_then(|security| security.sysctls.as_ref()).into_iter().flatten();
        settings.map(|setting| format!("{}={}\n", setting.name, setting.value)).collect()
    }

    /// Returns what stays of root's capabilities, as `setpriv` wants it. Without a word it is what container engines leave.
    fn capabilities(&self) -> String {
        let capabilities = self.container.security_context.as_ref().and_then(|security| security.capabilities.as_ref());
        let all = |list: &Option<Vec<String>>| list.iter().flatten().any(|name| name == "ALL");
        let mut kept =
            if capabilities.is_some_and(|capabilities| all(&capabilities.drop)) { "-all" } else { "-all,+net_bind_service" }.to_owned();
        for added in capabilities.and_then(|capabilities| capabilities.add.as_ref()).into_iter().flatten() {
            kept.push_str(&format!(",+{}", added.to_lowercase()));
        }
        kept
    }
}
