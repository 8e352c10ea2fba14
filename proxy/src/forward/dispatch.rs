//! Sends a request to a backend: picks an endpoint, sends, waits for the head, and tries again where that is allowed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use http::header::{HOST, TE, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use tokio::time::Instant;

use super::Worker;
use super::headers::{TRAILERS, remove_told};
use super::saved_head::SavedHead;
use super::told::Told;
use crate::body::{Arriving, Body, Progress, Replay, Upload};
use crate::error::{ProxyError, Reason, Retry};
use crate::model::{Timeouts, UpstreamProtocol};
use crate::observe::{Record, UpstreamConnect};
use crate::table::Forward;
use crate::upstream::{Channel, Round, Unanswered, Version, Wanted};

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// A request as it goes to a backend, whatever the protocol.
#[derive(Debug)]
pub(super) struct Outgoing<'r> {
    /// Method, origin-form target and headers, as HTTP/1.1 has them. They are taken out when they are sent.
    pub(super) head: &'r mut Parts,
    /// What the backend is told besides. It is told anew each time.
    pub(super) told: Told<'r>,
    /// The body; `None` if there is none.
    pub(super) upload: Option<Upload>,
    /// Whether the client takes trailers.
    pub(super) trailers: bool,
    /// What a connection for it must be good for.
    pub(super) wanted: Wanted,
}

/// A response's head, and the connection that its body comes on.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response<Arriving>,
    pub(super) channel: Channel,
}

/// Sends a request until it is answered. `now` is the present, or shortly before.
///
/// # Errors
/// No endpoint answered, or the client's body failed; after the last try that was allowed.
pub(super) async fn dispatch(
    worker: &Worker,
    backend: &Forward,
    outgoing: &mut Outgoing<'_>,
    record: &mut Record,
    mut now: Instant,
) -> Result<Answered, ProxyError> {
    let upstream = &backend.upstream;
    let metrics = &worker.state.metrics;
    let idempotent = outgoing.head.method.is_idempotent();
    let mut round = Round::new(upstream);
    let mut failure = None;
    // One failure may be the connection's alone: it had served before, or would not take the request. Then a fresh one follows.
    let mut spared = false;
    loop {
        let Some(endpoint) = round.choose(&upstream.endpoints()) else {
            return Err(failure.unwrap_or_else(|| ProxyError::new(Reason::NoEndpoints)));
        };
        let pool = worker.pools.endpoint(upstream, &endpoint);
        if failure.is_some() {
            metrics.upstream_retry();
            // What the tries before took is not this endpoint's doing.
            now = Instant::now();
        }
        record.attempt(endpoint.at.address, &endpoint.at.name, now.into_std());
        let channel = match if spared { None } else { pool.reuse(outgoing.wanted) } {
            Some(channel) => {
                metrics.upstream_reuse();
                channel
            }
            // Made rarely, and large.
            None => match Box::pin(pool.connect(outgoing.wanted, backend.timeouts.connect)).await {
                Ok(channel) => {
                    metrics.upstream_connect(UpstreamConnect::Ok);
                    now = Instant::now();
                    channel
                }
                Err(error) => {
                    metrics.upstream_connect(connect_label(error.kind));
                    tracing::debug!(endpoint = %endpoint.at.address, %error, "no connection to an endpoint");
                    failure = Some(error);
                    round.fail(endpoint);
                    continue;
                }
            },
        };
        // What cannot be needed again is not kept: only a connection that is no longer fresh may die under an idempotent request,
        // and only HTTP/2 says of a request that it was refused.
        let replay = match channel.version() {
            Version::Http1 if channel.is_reused() && idempotent => Replay::Keep,
            Version::Http1 => Replay::Forget,
            Version::Http2 => Replay::Keep,
        };
        record.connected(now.into_std());
        let error = match outgoing.send(&channel, replay, backend, worker, now).await {
            Ok(response) => {
                record.answered(response.status());
                return Ok(Answered { response, channel });
            }
            Err(error) => error,
        };
        tracing::debug!(endpoint = %endpoint.at.address, %error, reused = channel.is_reused(), "an endpoint did not answer");
        let again = match error.retry {
            Retry::Unprocessed => true,
            Retry::IfIdempotent => channel.is_reused() && idempotent,
            Retry::Never => false,
        };
        if again || matches!(error.kind, Reason::ReadTimeout | Reason::SendTimeout) {
            // Silence may be the connection's rather than the endpoint's: others should not wait on it too.
            channel.retire();
        }
        if !again {
            return Err(error);
        }
        if spared {
            round.fail(endpoint);
        }
        spared = true;
        failure = Some(error);
    }
}

fn connect_label(reason: Reason) -> UpstreamConnect {
    if reason == Reason::ConnectTimeout {
        UpstreamConnect::TimedOut
    } else if reason == Reason::UpstreamTls {
        UpstreamConnect::TlsFailed
    } else {
        UpstreamConnect::Failed
    }
}

impl Outgoing<'_> {
    /// Sends it once. Afterwards the head is here again if the request may be sent again.
    async fn send(
        &mut self,
        channel: &Channel,
        replay: Replay,
        backend: &Forward,
        worker: &Worker,
        now: Instant,
    ) -> Result<Response<Arriving>, ProxyError> {
        let body = match &self.upload {
            None => Body::Empty,
            Some(upload) => Body::Upload(upload.attempt(replay, now).ok_or_else(|| ProxyError::new(Reason::UpstreamReset))?),
        };
        let saved = match replay {
            Replay::Keep if !channel.gives_back() => Some(SavedHead::of(self.head, &worker.saved_heads)),
            Replay::Keep | Replay::Forget => None,
        };
        let request = match channel.version() {
            Version::Http1 => http1(self.head, body),
            Version::Http2 => http2(self.head, body, backend.upstream.key.protocol, self.trailers)?,
        };
        let sending = pin!(channel.send(request, &self.told));
        match wait(sending, self.upload.as_ref(), backend.timeouts, worker, now).await {
            Ok(response) => {
                if let Some(upload) = &self.upload {
                    upload.settle();
                }
                Ok(response)
            }
            Err((error, returned)) => {
                match (saved, returned) {
                    (Some(saved), _) => saved.restore(self.head).ok_or_else(|| ProxyError::new(Reason::Internal))?,
                    (None, Some(request)) => {
                        *self.head = request.into_parts().0;
                        self.head.headers.remove(TRANSFER_ENCODING);
                        remove_told(&mut self.head.headers);
                    }
                    (None, None) => {}
                }
                Err(error)
            }
        }
    }
}

/// Takes the request out of its head, in the form of HTTP/1.1.
fn http1(head: &mut Parts, body: Body) -> Request<Body> {
    let known = http_body::Body::size_hint(&body).exact().is_some();
    let mut request = taken(head, body);
    if !known {
        // hyper would leave the body of a GET out.
        request.headers_mut().insert(TRANSFER_ENCODING, CHUNKED);
    }
    request
}

/// Takes it out in the form of HTTP/2: the authority in the target, no `Host`.
fn http2(head: &mut Parts, body: Body, protocol: UpstreamProtocol, trailers: bool) -> Result<Request<Body>, ProxyError> {
    let unfit = |_| ProxyError::new(Reason::BadHost);
    let host = head.headers.remove(HOST);
    let authority = host.as_ref().map_or(b"".as_slice(), HeaderValue::as_bytes);
    let mut target = std::mem::take(&mut head.uri).into_parts();
    target.authority = Some(Authority::try_from(authority).map_err(unfit)?);
    target.scheme = Some(match protocol {
        UpstreamProtocol::Http1 | UpstreamProtocol::H2c => Scheme::HTTP,
        UpstreamProtocol::Https | UpstreamProtocol::H2 => Scheme::HTTPS,
    });
    head.uri = Uri::from_parts(target).map_err(|_| ProxyError::new(Reason::BadPath))?;
    if trailers {
        head.headers.insert(TE, TRAILERS);
    }
    let mut request = taken(head, body);
    *request.version_mut() = http::Version::HTTP_2;
    Ok(request)
}

fn taken(head: &mut Parts, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    std::mem::swap(request.method_mut(), &mut head.method);
    std::mem::swap(request.uri_mut(), &mut head.uri);
    std::mem::swap(request.headers_mut(), &mut head.headers);
    request
}

type Failure = (ProxyError, Option<Box<Request<Body>>>);

/// Waits for the head of the response: as long as the client sends, then for the read timeout.
fn wait(
    mut sending: Pin<&mut impl Future<Output = Result<Response<Arriving>, Unanswered>>>,
    upload: Option<&Upload>,
    timeouts: Timeouts,
    worker: &Worker,
    now: Instant,
) -> impl Future<Output = Result<Response<Arriving>, Failure>> {
    let mut deadline = worker.clock.deadline();
    deadline.set(now + if upload.is_some() { timeouts.read.min(timeouts.send) } else { timeouts.read });
    poll_fn(move |cx| {
        if let Poll::Ready(answered) = sending.as_mut().poll(cx) {
            return Poll::Ready(answered.map_err(|unanswered| match upload.and_then(Upload::failed) {
                Some(reason) => (ProxyError::new(reason).with_source(unanswered.error), None),
                None => (unanswered.error, unanswered.request),
            }));
        }
        if let Some(upload) = upload
            && let Poll::Ready(reason) = upload.poll_failed(cx)
        {
            return Poll::Ready(Err((ProxyError::new(reason), None)));
        }
        while deadline.poll(cx).is_ready() {
            let now = Instant::now();
            let (due, reason) = match upload.map_or(Progress::Done(now - timeouts.read), Upload::progress) {
                // The body itself watches the client.
                Progress::Client => (now + timeouts.send, Reason::BodyTimeout),
                Progress::Endpoint(since) => (since + timeouts.send, Reason::SendTimeout),
                Progress::Done(since) => (since + timeouts.read, Reason::ReadTimeout),
            };
            if due <= now {
                return Poll::Ready(Err((ProxyError::new(reason), None)));
            }
            deadline.set(due);
        }
        Poll::Pending
    })
}
