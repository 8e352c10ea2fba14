//! How many connections there may be, and where they go.

use std::io::Read;
use std::time::Duration;

use tidegate_proxy::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::*;

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_ends() {
    let running = start(Settings { max_connections: 2, ..settings() }, vec![listener("http")]);
    let at = address(&running, "http");
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        exchange(&mut stream, HEAD).await;
        served.push(stream);
    }
    let mut waiting = TcpStream::connect(at).await.unwrap();
    waiting.write_all(HEAD.as_bytes()).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), waiting.read_u8()).await;
    assert!(nothing.is_err(), "it must wait: {nothing:?}");
    assert_eq!(running.connections(), 2);
    served.pop();
    assert!(read_head(&mut waiting).await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn long_lived_connections_are_spread_evenly_over_the_workers() {
    let running = start(Settings { workers: 8, ..settings() }, vec![listener("http")]);
    let at = address(&running, "http");
    let mut open = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(at).await.unwrap();
        exchange(&mut stream, HEAD).await;
        open.push(stream);
    }
    let of_worker = running.connections_of_workers();
    assert_eq!(of_worker.iter().sum::<usize>(), 200);
    assert!(of_worker.iter().all(|&count| count * 4 <= 25 * 5), "at most 1.25 of the mean: {of_worker:?}");
    for stream in &mut open {
        assert!(exchange(stream, HEAD).await.starts_with("HTTP/1.1 404 "), "served after a hand-over");
    }
    drop(open);
    eventually("all places are free", || running.connections() == 0).await;
}

/// Names the environment variable that carries nothing but the wish to be the child of the test below.
const FEW_DESCRIPTORS: &str = "TIDEGATE_TEST_FEW_DESCRIPTORS";

#[test]
#[ignore = "running_out_of_descriptors_backs_off_and_recovers starts it, with few descriptors"]
fn serves_with_few_descriptors() {
    assert!(std::env::var_os(FEW_DESCRIPTORS).is_some(), "it runs only as a child");
    let running = start(Settings { workers: 1, ..settings() }, vec![listener("http")]);
    println!("\nport {}", address(&running, "http").port());
    // Until its input ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test]
async fn running_out_of_descriptors_backs_off_and_recovers() {
    use std::io::BufRead;

    let mut child = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 48; exec "$0" --exact connections::serves_with_few_descriptors --ignored --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .env(FEW_DESCRIPTORS, "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port: u16 = lines.by_ref().find_map(|line| line.strip_prefix("port ")?.parse().ok()).unwrap();
    let mut open = Vec::new();
    for _ in 0..80 {
        open.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    for stream in &mut open {
        stream.write_all(HEAD.as_bytes()).await.unwrap();
    }
    assert!(read_head(&mut open[0]).await.starts_with("HTTP/1.1 404 "));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = cpu_ticks(child.id());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = cpu_ticks(child.id()) - before;
    assert!(spent < 20, "{spent} hundredths of a second of CPU in two seconds: it spins");
    open.drain(..60);
    for stream in &mut open {
        assert!(read_head(stream).await.starts_with("HTTP/1.1 404 "), "those that waited are served");
    }
    drop(child.stdin.take());
    let rest: Vec<_> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
}

/// The CPU time of a process in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
