//! Keeps the DNS names of `ExternalName` Services resolved: both families, again when the answer's TTL is over, the last good answer
//! while DNS fails. Whoever may write a Service chooses the name, so that what is not meant to be reached through us is refused here.

mod refusal;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverOpts};
use hickory_resolver::net::NetError;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use self::refusal::Own;
use crate::diagnostic::Code;
use crate::object::SourceEvent;
use crate::reconcile::Outcome;

/// The shortest time that an answer counts for, whatever its TTL.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time that an answer counts for, whatever its TTL.
const LONGEST: Duration = Duration::from_secs(300);
/// The pause after a first failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Look-ups that run at once.
const CONCURRENT: usize = 32;

/// Resolves names, and reports what they resolve to as [`SourceEvent::Resolved`].
pub struct Resolver {
    shared: Arc<Shared>,
    names: HashMap<Arc<str>, AbortHandle>,
}

struct Shared {
    /// Or why there is none to ask.
    dns: Result<TokioResolver, String>,
    own: Own,
    events: mpsc::Sender<SourceEvent>,
    permits: Semaphore,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("names", &self.names.len()).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Makes a resolver that asks the servers of `/etc/resolv.conf`. `own` are the addresses that this process listens on. Where the
    /// system's configuration cannot be used, no name resolves, and each says why.
    #[must_use]
    pub fn from_system(own: Vec<SocketAddr>, events: mpsc::Sender<SourceEvent>) -> Self {
        let dns = || {
            let mut builder = TokioResolver::builder_tokio()?;
            configure(builder.options_mut());
            builder.build()
        };
        Self::new(dns().map_err(|error: NetError| format!("the system's DNS configuration cannot be used: {error}")), own, events)
    }

    fn new(dns: Result<TokioResolver, String>, own: Vec<SocketAddr>, events: mpsc::Sender<SourceEvent>) -> Self {
        let shared = Shared { dns, own: Own::new(own), events, permits: Semaphore::new(CONCURRENT) };
        Self { shared: Arc::new(shared), names: HashMap::new() }
    }

    /// Resolves what outcomes ask for, until they end.
    pub async fn run(mut self, mut outcomes: mpsc::UnboundedReceiver<Arc<Outcome>>) {
        while let Some(outcome) = outcomes.recv().await {
            if let Some(names) = &outcome.external_names {
                self.follow(names);
            }
        }
    }

    /// Resolves these names from now on, and no others.
    fn follow(&mut self, names: &[Arc<str>]) {
        self.names.retain(|name, task| {
            // They are sorted.
            let kept = names.binary_search(name).is_ok();
            if !kept {
                task.abort();
            }
            kept
        });
        for name in names {
            if !self.names.contains_key(name) {
                let task = tokio::spawn(Arc::clone(&self.shared).keep(Arc::clone(name)));
                self.names.insert(Arc::clone(name), task.abort_handle());
            }
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.names.values().for_each(AbortHandle::abort);
    }
}

/// Sets what is ours to say: both families, and no cache beside our own keeping.
fn configure(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0;
    options.try_tcp_on_error = true;
}

/// What one look-up came to.
struct Answer {
    addresses: Vec<IpAddr>,
    problem: Option<(Code, String)>,
    valid: Duration,
}

impl Shared {
    /// Keeps one name resolved for as long as somebody listens.
    async fn keep(self: Arc<Self>, name: Arc<str>) {
        let mut last: Option<Vec<IpAddr>> = None;
        let mut told = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let answer = match self.resolve(&name).await {
                Ok(answer) => {
                    pause = FIRST_PAUSE;
                    last = Some(answer.addresses.clone());
                    answer
                }
                Err(problem) => {
                    let valid = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    let kept = if last.as_ref().is_some_and(|last| !last.is_empty()) { "; its last addresses stay in use" } else { "" };
                    let problem = Some((Code::UnresolvedExternalName, format!("{problem}{kept}")));
                    Answer { addresses: last.clone().unwrap_or_default(), problem, valid }
                }
            };
            let now = (answer.addresses, answer.problem);
            if told.as_ref() != Some(&now) {
                let event = SourceEvent::Resolved { name: Arc::clone(&name), addresses: now.0.clone(), problem: now.1.clone() };
                if self.events.send(event).await.is_err() {
                    return;
                }
                told = Some(now);
            }
            tokio::time::sleep(answer.valid).await;
        }
    }

    /// Asks once. An error is one of DNS; what is refused is an answer without addresses.
    async fn resolve(&self, name: &str) -> Result<Answer, String> {
        let refused = |message| Answer { addresses: Vec::new(), problem: Some((Code::RefusedExternalName, message)), valid: LONGEST };
        if refusal::is_local_name(name) {
            return Ok(refused(format!("{name} names the machine that it is looked up on")));
        }
        let (mut addresses, valid) = match name.parse::<IpAddr>() {
            Ok(literal) => (vec![literal], LONGEST),
            Err(_) => self.ask(name).await?,
        };
        for address in &mut addresses {
            *address = address.to_canonical();
        }
        addresses.sort_unstable();
        addresses.dedup();
        let own = match self.own.addresses() {
            Ok(own) => own,
            // Fail closed: what may be ourselves is not reached.
            Err(error) => {
                let message = format!("{name} cannot be judged, since the addresses of this machine are not known: {error}");
                return Ok(Answer { valid: FIRST_PAUSE, ..refused(message) });
            }
        };
        let (mut allowed, mut refusals) = (Vec::new(), Vec::new());
        for address in addresses {
            match refusal::of(address, &own) {
                Some(why) => refusals.push(format!("{address} (which is {why})")),
                None => allowed.push(address),
            }
        }
        if refusals.is_empty() {
            return Ok(Answer { addresses: allowed, problem: None, valid });
        }
        let rest = if allowed.is_empty() { "" } else { "; its other addresses are used" };
        let message = format!("{name} resolves to {}, and must not be reached there through a Service{rest}", refusals.join(", "));
        Ok(Answer { addresses: allowed, valid, ..refused(message) })
    }

    async fn ask(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let _permit = self.permits.acquire().await.map_err(|error| error.to_string())?;
        // Absolute, as the CNAME of a Service is: the search list of our own Pod has no part in it.
        let absolute = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
        let dns = self.dns.as_ref().map_err(|error| format!("{name} does not resolve: {error}"))?;
        let found = dns.lookup_ip(absolute.as_str()).await.map_err(|error| format!("{name} does not resolve: {error}"))?;
        let valid = found.valid_until().saturating_duration_since(Instant::now()).clamp(SHORTEST, LONGEST);
        let addresses: Vec<_> = found.iter().collect();
        if addresses.is_empty() { Err(format!("{name} has no address")) } else { Ok((addresses, valid)) }
    }
}

#[cfg(test)]
#[path = "resolver/tests.rs"]
mod tests;
