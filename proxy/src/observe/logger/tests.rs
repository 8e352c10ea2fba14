//! Lines of the access log, on their way to wherever it is written.

use super::*;
use std::sync::mpsc::Sender;

/// Hands everything that is written to a test.
#[derive(Debug)]
pub(crate) struct Tell(pub(crate) Sender<Vec<u8>>);

impl Write for Tell {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for Tell {
    fn refresh(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Makes a log whose lines come out of the receiver.
pub(crate) fn told(format: &str) -> (Logger, Receiver<Vec<u8>>) {
    let (tell, told) = std::sync::mpsc::channel();
    let logger = Logger::with_sink(Box::new(Tell(tell)), format.parse().unwrap(), Arc::default()).unwrap();
    (logger, told)
}

fn line(observer: &Observer, text: &str) {
    observer.push(|out, _, _| out.extend_from_slice(text.as_bytes()));
}

fn dropped(logger: &Logger) -> u64 {
    logger.metrics.log_losses().0
}

#[test]
fn lines_wait_in_the_buffer_until_it_is_large() {
    let (logger, told) = told("json");
    let observer = logger.observer();
    let long = "x".repeat(FLUSH_BYTES / 2);
    line(&observer, &long);
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
    line(&observer, &long);
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap().len(), FLUSH_BYTES + 2);
}

#[test]
fn a_full_buffer_comes_back_empty_and_others_are_let_go() {
    let (logger, told) = told("json");
    let observer = logger.observer();
    let lines = observer.lines().unwrap();
    let place = || lines.buffer.borrow().as_ptr();
    line(&observer, "one");
    let first = place();
    line(&observer, &"x".repeat(FLUSH_BYTES));
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap().len(), "one\n".len() + FLUSH_BYTES + 1);
    let back = lines.written.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!((back.as_ptr(), back.len(), back.capacity()), (first, 0, BUFFER_BYTES));
    lines.back.send(back).unwrap();

    line(&observer, "two");
    assert_eq!(place(), first, "it is filled again");
    observer.flush();
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), b"two\n");
    line(&observer, &"x".repeat(3 * BUFFER_BYTES));
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap().len(), 3 * BUFFER_BYTES + 1);
    line(&observer, "three");
    drop(observer);
    logger.close();
    assert_eq!(told.recv().unwrap(), b"three\n");
}

#[test]
fn a_worker_has_one_buffer_to_come_at_most() {
    let (logger, told) = told("json");
    let observer = logger.observer();
    for _ in 0..QUEUE {
        line(&observer, &"x".repeat(FLUSH_BYTES));
        assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap().len(), FLUSH_BYTES + 1);
    }
    logger.close();
    let lines = observer.lines().unwrap();
    assert_eq!(lines.written.try_iter().count(), 1);
    assert_eq!(dropped(&logger), 0);
}

#[test]
fn lines_are_written_when_the_worker_ends() {
    let (logger, told) = told("json");
    line(&logger.observer(), "last words");
    logger.close();
    assert_eq!(told.recv().unwrap(), b"last words\n");
    assert!(told.recv().is_err(), "the writer has ended");
}

#[tokio::test(flavor = "current_thread")]
async fn lines_are_handed_over_within_a_second() {
    let (logger, told) = told("json");
    let observer = logger.observer();
    line(&observer, "one");
    let _ = tokio::time::timeout(FLUSH_AFTER * 2, observer.flush_in_time()).await;
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), b"one\n");
}

#[test]
fn a_sink_that_takes_nothing_loses_lines_and_holds_up_nobody() {
    struct Stuck(Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Sink for Stuck {
        fn refresh(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (release, stuck) = std::sync::mpsc::channel();
    let logger = Logger::with_sink(Box::new(Stuck(stuck)), LogFormat::json(), Arc::default()).unwrap();
    let observer = logger.observer();
    let total = QUEUE as u64 + 10;
    for _ in 0..total {
        line(&observer, "x");
        observer.flush();
    }
    assert!((9..=10).contains(&dropped(&logger)), "all but the queue and what the writer holds: {}", dropped(&logger));
    drop(release);
    drop(observer);
    logger.close();
    assert!((9..=10).contains(&dropped(&logger)));
}

#[test]
fn a_broken_sink_loses_lines_and_counts_them() {
    let (tell, told) = std::sync::mpsc::channel();
    drop(told);
    let logger = Logger::with_sink(Box::new(Tell(tell)), LogFormat::json(), Arc::default()).unwrap();
    let observer = logger.observer();
    line(&observer, "x");
    line(&observer, "y");
    drop(observer);
    logger.close();
    assert_eq!(logger.metrics.log_losses(), (2, 1));
}

#[test]
fn a_file_is_appended_to_and_opened_anew_after_it_was_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    std::fs::write(&path, "before\n").unwrap();
    let mut file = LogFile::open(&path).unwrap();
    file.write_all(b"one\n").unwrap();
    std::fs::rename(&path, directory.path().join("access.log.1")).unwrap();
    file.refresh().unwrap();
    file.write_all(b"two\n").unwrap();
    assert_eq!(std::fs::read_to_string(directory.path().join("access.log.1")).unwrap(), "before\none\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let to = AccessLog::File("/proc/nowhere/access.log".into());
    let error = Logger::start(&to, LogFormat::json(), Arc::default()).unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere/access.log"), "{error}");
}
