//! A backend that trusts nobody: it reads HTTP/1.1 by a parser of its own, as strictly as can be, and keeps what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request as it arrived. Bytes are shown as the characters of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// The request line.
    pub(crate) line: String,
    /// The header lines, in their order.
    pub(crate) fields: Vec<String>,
    /// The body, without its framing, and behind it each trailer as a line.
    pub(crate) body: String,
    /// `None` if all of it came, else what was wrong.
    pub(crate) broken: Option<String>,
}

/// The backend. It ends when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let record = Arc::clone(&arrived);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&record)));
            }
        });
        Ok(Self { address, arrived, task })
    }

    /// Returns what has arrived since the last time.
    pub(crate) fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, record: Arc<Mutex<Vec<Arrived>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut arrived = Arrived { line: String::new(), fields: Vec::new(), body: String::new(), broken: None };
        let result = read(&mut stream, &mut arrived).await;
        if matches!(result, Ok(false)) {
            return;
        }
        arrived.broken = result.err().map(|error| format!("{error:#}"));
        let broken = arrived.broken.is_some();
        record.lock().unwrap_or_else(PoisonError::into_inner).push(arrived);
        if broken || stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// Reads a request; false if the connection ended where one could have begun.
async fn read(stream: &mut BufReader<TcpStream>, arrived: &mut Arrived) -> anyhow::Result<bool> {
    if stream.fill_buf().await.is_ok_and(<[u8]>::is_empty) {
        return Ok(false);
    }
    arrived.line = line(stream).await?;
    loop {
        let field = line(stream).await?;
        if field.is_empty() {
            break;
        }
        arrived.fields.push(field);
    }
    let values = |name: &str| -> Vec<&str> {
        let of = |field: &'_ String| field.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)).is_some();
        arrived.fields.iter().filter(|field| of(field)).filter_map(|field| Some(field.split_once(": ")?.1)).collect()
    };
    match (values("content-length").as_slice(), values("transfer-encoding").as_slice()) {
        ([], []) => {}
        ([length], []) => {
            ensure!(length.bytes().all(|digit| digit.is_ascii_digit()), "Content-Length {length:?}");
            let body = exactly(stream, length.parse()?).await?;
            arrived.body.push_str(&body);
        }
        ([], ["chunked"]) => read_chunks(stream, &mut arrived.body).await?,
        (lengths, codings) => bail!("ambiguous framing: {lengths:?} and {codings:?}"),
    }
    Ok(true)
}

async fn read_chunks(stream: &mut BufReader<TcpStream>, body: &mut String) -> anyhow::Result<()> {
    loop {
        let size = line(stream).await?;
        ensure!(!size.is_empty() && size.bytes().all(|digit| digit.is_ascii_hexdigit()), "chunk size {size:?}");
        let size = usize::from_str_radix(&size, 16)?;
        if size == 0 {
            break;
        }
        body.push_str(&exactly(stream, size).await?);
        ensure!(line(stream).await?.is_empty(), "a chunk is longer than it says");
    }
    loop {
        let trailer = line(stream).await?;
        if trailer.is_empty() {
            return Ok(());
        }
        body.push('\n');
        body.push_str(&trailer);
    }
}

/// Reads a line that ends in CR LF and has neither within.
async fn line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let text = line.strip_suffix(b"\r\n").with_context(|| format!("broken off after {:?}", characters(&line)))?;
    ensure!(!text.contains(&b'\r'), "a bare CR in {:?}", characters(text));
    Ok(characters(text))
}

async fn exactly(stream: &mut BufReader<TcpStream>, length: usize) -> anyhow::Result<String> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.context("broken off in the body")?;
    Ok(characters(&bytes))
}

fn characters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
