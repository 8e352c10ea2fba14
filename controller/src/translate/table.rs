//! Puts listeners, hosts, certificates and the fallback together.

use tidegate_proxy::model::{HostMap, Scheme};
use tidegate_proxy::table::{Listener, Table, TlsTable};

use super::defaults::Defaults;
use super::hosts::Hosts;
use super::options::{ListenerOptions, Options};
use super::served_names::ServedNames;

/// Makes tables that share with each other what did not change.
#[derive(Default)]
pub(super) struct TableMaker {
    made: bool,
    tls: Option<TlsTable>,
}

impl TableMaker {
    /// Whether a table has been made.
    pub(super) fn is_made(&self) -> bool {
        self.made
    }

    /// Makes TLS anew with the next table.
    pub(super) fn forget_tls(&mut self) {
        self.tls = None;
    }

    /// Makes a table.
    pub(super) fn make(&mut self, options: &Options, hosts: &Hosts, names: &ServedNames, defaults: &Defaults) -> Table {
        self.made = true;
        if self.tls.is_none() {
            let made = TlsTable::new(names.certificates().clone(), defaults.certificate().clone(), &options.tickets);
            self.tls = made.inspect_err(|error| tracing::error!(%error, "TLS cannot be configured; https is not served")).ok();
        }
        let listeners = options.listeners.iter().filter_map(|listener| {
            let (tls, hosts) = match listener.scheme {
                Scheme::Http => (None, hosts.http()),
                Scheme::Https => (Some(self.tls.clone()?), hosts.https()),
            };
            Some(Listener { hosts: hosts.clone(), fallback: defaults.fallback(listener.scheme).cloned(), ..bare(listener, tls) })
        });
        Table { generation: 0, listeners: listeners.collect(), trusted_proxies: options.trusted_proxies.clone() }
    }
}

impl Options {
    /// Makes the table that serves nothing: what sockets can be bound by before any object is known.
    ///
    /// # Errors
    /// TLS cannot be configured: the crypto provider has no cipher for it.
    pub fn empty_table(&self) -> Result<Table, rustls::Error> {
        let tls = TlsTable::new(HostMap::default(), self.self_signed.clone(), &self.tickets)?;
        let listeners = self.listeners.iter().map(|listener| match listener.scheme {
            Scheme::Http => bare(listener, None),
            Scheme::Https => bare(listener, Some(tls.clone())),
        });
        Ok(Table { generation: 0, listeners: listeners.collect(), trusted_proxies: self.trusted_proxies.clone() })
    }
}

/// A listener without hosts.
fn bare(listener: &ListenerOptions, tls: Option<TlsTable>) -> Listener {
    Listener {
        name: listener.name.clone(),
        address: listener.address,
        tls,
        public_port: listener.public_port,
        public_https_port: listener.public_https_port,
        proxy_protocol: listener.proxy_protocol.clone(),
        limits: listener.limits.clone(),
        hosts: HostMap::default(),
        fallback: None,
    }
}
