//! The backend of all proxies: canned replies with as little work as possible, so that one core has room for it and the generator.
//!
//! `GET /bytes/N` answers N bytes of [`content`], `POST /sink` checks what it is sent, `GET /ws` echoes WebSocket messages. It takes
//! no chunked request, and it keeps every connection.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::{content, head};

/// How long after a request it polls its sockets instead of sleeping: a proxy's wake-ups then cost it the same whoever it is.
const AWAKE: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 << 10;

/// Serves until the process is ended.
pub fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let busy = Rc::new(Cell::new(Instant::now()));
        tokio::task::spawn_local(stay_awake(Rc::clone(&busy)));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let busy = Rc::clone(&busy);
            tokio::task::spawn_local(async move {
                // A proxy may close a connection whenever it likes; a wrong request is answered before.
                let _ = Conversation::new(stream, busy).run().await;
            });
        }
    })
}

async fn stay_awake(busy: Rc<Cell<Instant>>) {
    loop {
        if busy.get().elapsed() < AWAKE {
            // The generator shares this core.
            std::thread::yield_now();
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// One connection, and what was read of it ahead.
struct Conversation {
    stream: TcpStream,
    buffer: Vec<u8>,
    busy: Rc<Cell<Instant>>,
    replies: [(&'static [u8], Vec<u8>); 3],
}

impl Conversation {
    fn new(stream: TcpStream, busy: Rc<Cell<Instant>>) -> Self {
        let replies = [b"64".as_slice(), b"65536", b"1048576"].map(|length| (length, Vec::new()));
        Self { stream, buffer: Vec::with_capacity(READ_BYTES), busy, replies }
    }

    async fn run(mut self) -> io::Result<()> {
        loop {
            let Some(length) = self.read_head().await? else { return Ok(()) };
            self.busy.set(Instant::now());
            let request = self.buffer.get(..length).unwrap_or_default();
            if request.starts_with(b"GET /bytes/") {
                let wanted = request.iter().skip(11).take_while(|byte| byte.is_ascii_digit()).count();
                let wanted = request.get(11..11 + wanted).unwrap_or_default();
                let reply = self.replies.iter_mut().find(|(length, _)| *length == wanted);
                match reply {
                    Some((_, reply)) => {
                        if reply.is_empty() {
                            *reply = canned(wanted);
                        }
                        self.stream.write_all(reply).await?;
                    }
                    None => self.answer("404 Not Found").await?,
                }
                self.buffer.drain(..length);
            } else if request.starts_with(b"POST /sink ") {
                let expected = head::number(request, "content-length");
                self.buffer.drain(..length);
                let Some(expected) = expected else { return self.answer("411 Length Required").await };
                let status = if self.check_upload(expected).await? { "200 OK" } else { "422 Unprocessable Content" };
                self.answer(status).await?;
            } else if let Some(key) = head::field(request, "sec-websocket-key") {
                let accept = derive_accept_key(key);
                let reply = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
                );
                self.stream.write_all(reply.as_bytes()).await?;
                return self.echo().await;
            } else {
                self.answer("404 Not Found").await?;
                self.buffer.drain(..length);
            }
        }
    }

    /// Returns the length of the next head, which then stands at the start of the buffer; `None` at the end of the connection.
    async fn read_head(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(length) = head::length(&self.buffer) {
                return Ok(Some(length));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads a body to its end; tells whether every byte was right.
    async fn check_upload(&mut self, expected: usize) -> io::Result<bool> {
        let (mut seen, mut right) = (0, true);
        loop {
            let piece = self.buffer.get(..self.buffer.len().min(expected - seen)).unwrap_or_default();
            right &= content::matches(seen, piece);
            let length = piece.len();
            seen += length;
            self.buffer.drain(..length);
            if seen == expected {
                return Ok(right);
            }
            self.busy.set(Instant::now());
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn answer(&mut self, status: &str) -> io::Result<()> {
        self.stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await
    }

    async fn echo(self) -> io::Result<()> {
        let mut socket = WebSocketStream::from_raw_socket(self.stream, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            self.busy.set(Instant::now());
            if message.is_binary() && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn canned(length: &[u8]) -> Vec<u8> {
    let length = String::from_utf8_lossy(length);
    let mut reply = format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    reply.extend_from_slice(content::body(length.parse().unwrap_or_default()));
    reply
}
