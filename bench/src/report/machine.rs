//! The machine that a run was made on.

use std::fs;

/// Returns its properties by name.
pub fn describe() -> Vec<(String, String)> {
    let processor = field("/proc/cpuinfo", "model name");
    let flags = field("/proc/cpuinfo", "flags");
    let crypto: Vec<&str> = flags.split(' ').filter(|flag| ["aes", "vaes", "sha_ni", "avx2", "avx512f"].contains(flag)).collect();
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let virtual_machine = if flags.split(' ').any(|flag| flag == "hypervisor") { ", a virtual machine" } else { "" };
    [
        (
            "processor",
            format!(
                "{processor} (family {}, model {}), {cores} cores{virtual_machine}",
                field("/proc/cpuinfo", "cpu family"),
                field("/proc/cpuinfo", "model")
            ),
        ),
        ("of its instructions", crypto.join(" ")),
        ("memory", field("/proc/meminfo", "MemTotal")),
        ("kernel", file("/proc/sys/kernel/osrelease")),
        ("system", field("/etc/os-release", "PRETTY_NAME").trim_matches('"').to_owned()),
        ("congestion control", file("/proc/sys/net/ipv4/tcp_congestion_control")),
        ("load average at the start", load_average()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Returns how many processes have wanted a core of late.
pub fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            let (key, value) = line.split_once([':', '='])?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
        .unwrap_or_default()
}
