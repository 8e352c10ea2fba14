//! Where commands look at what is served: a running instance, or objects that are read and translated here. Both show the same pages.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::app::{Lookout, logging};
use crate::args::{ListFormat, LookOptions, TextFormat};

/// How long an instance may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to look.
pub(super) enum Look {
    /// At objects.
    Objects(Box<Lookout>),
    /// At an instance, by its admin address.
    Instance(SocketAddr),
}

/// A form for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Json,
    Yaml,
}

impl Look {
    /// Finds the place that flags name.
    ///
    /// # Errors
    /// Objects cannot be had: names the flag.
    pub(super) async fn open(options: &LookOptions) -> anyhow::Result<Self> {
        if let Some(address) = options.admin {
            return Ok(Self::Instance(address));
        }
        logging::start_for_source();
        Ok(Self::Objects(Box::new(Lookout::open(options).await?)))
    }

    /// Returns a page.
    ///
    /// # Errors
    /// The instance does not answer, or not with the page.
    pub(super) async fn page(&self, path: &str, query: Option<&str>) -> anyhow::Result<Bytes> {
        let (status, body) = match self {
            Self::Objects(lookout) => {
                let reply = lookout.page(path, query).await?;
                (reply.status, reply.body)
            }
            Self::Instance(address) => tokio::time::timeout(PATIENCE, ask(*address, path, query))
                .await
                .with_context(|| format!("the instance at {address} (--admin) does not answer within {} s", PATIENCE.as_secs()))?
                .with_context(|| format!("cannot ask the instance at {address} (--admin)"))?,
        };
        let said = String::from_utf8_lossy(&body);
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND => bail!("there is no page {path}; is it the admin address of a Tidegate of this version?"),
            other => bail!("{path} cannot be shown ({other}): {}", said.trim()),
        }
    }

    /// Returns a page of JSON.
    ///
    /// # Errors
    /// It cannot be had, or is no such JSON.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(&self, path: &str, query: Option<&str>) -> anyhow::Result<T> {
        let body = self.page(path, query).await?;
        serde_json::from_slice(&body).with_context(|| format!("{path} cannot be understood; is the instance of another version?"))
    }
}

async fn ask(address: SocketAddr, path: &str, query: Option<&str>) -> anyhow::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let request = Request::get(target).header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok((status, body))
}

/// Writes something for programs.
///
/// # Errors
/// It cannot be written so.
pub(super) fn written(value: &impl Serialize, machine: Machine) -> anyhow::Result<String> {
    match machine {
        Machine::Json => Ok(format!("{}\n", serde_json::to_string_pretty(value)?)),
        Machine::Yaml => Ok(serde_saphyr::to_string(value)?),
    }
}

impl TextFormat {
    /// Returns the form for programs that it is; `None` is for people.
    pub(super) fn machine(self) -> Option<Machine> {
        match self {
            Self::Text => None,
            Self::Json => Some(Machine::Json),
            Self::Yaml => Some(Machine::Yaml),
        }
    }
}

impl ListFormat {
    /// Returns the form for programs that it is; `None` is for people.
    pub(super) fn machine(self) -> Option<Machine> {
        match self {
            Self::Table => None,
            Self::Json => Some(Machine::Json),
            Self::Yaml => Some(Machine::Yaml),
        }
    }
}
