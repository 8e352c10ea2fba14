//! A client that sends bytes as they are and reads answers one by one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// How long an answer, or the end of a connection, may take. Shorter than any timeout of Tidegate's that would end a connection.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to Tidegate.
#[derive(Debug)]
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects from this address, by which the access log knows whose line is whose.
    pub(crate) async fn connect(from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        Ok(Self(BufReader::new(socket.connect(to).await?)))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.0.write_all(bytes).await.context("Tidegate takes no more")
    }

    /// Reads an answer, those before the last (1xx) passed over, and returns its status and body.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<(u16, String)> {
        tokio::time::timeout(PATIENCE, self.read_answer()).await.context("no answer")?
    }

    async fn read_answer(&mut self) -> anyhow::Result<(u16, String)> {
        loop {
            let first = self.line().await?;
            let status = first.split(' ').nth(1).with_context(|| format!("{first:?} is no status line"))?.parse()?;
            let mut length = 0;
            loop {
                let field = self.line().await?;
                if field.is_empty() {
                    break;
                }
                if let Some(("content-length", value)) = field.to_ascii_lowercase().split_once(": ") {
                    length = value.parse()?;
                }
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await?;
            if status >= 200 {
                return Ok((status, String::from_utf8_lossy(&body).into_owned()));
            }
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(line.strip_suffix("\r\n").with_context(|| format!("the connection ended after {line:?}"))?.to_owned())
    }

    /// Waits for the end of the connection, before which nothing may come.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.context("the connection stays open")??;
        ensure!(rest.is_empty(), "before the end came {:?}", String::from_utf8_lossy(&rest));
        Ok(())
    }
}
