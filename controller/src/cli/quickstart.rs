//! `tidegate quickstart`: serves a directory of manifests with backends started along with it, and prints what to try.
//!
//! It is `serve --manifests DIR` with three things added: an echo server at each loopback address that the EndpointSlices name, a
//! certificate for each TLS Secret that is missing, and the curl lines.

mod example;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::echo::{EchoOptions, EchoServer};
use crate::app::{App, logging};
use crate::args::{Command, Options, QuickstartOptions, ServeOptions};
use crate::signal::Stops;
use example::Example;

/// Serves the example until a signal comes.
///
/// # Errors
/// The directory cannot be read or written, or an address cannot be bound: names it.
pub(super) async fn run(options: QuickstartOptions) -> anyhow::Result<ExitCode> {
    let serve = serve_options(&options)?;
    logging::start(serve.log);
    let mut stops = Stops::listen().context("cannot take signals over")?;
    let directory = &options.directory;
    let example = Example::read(directory).with_context(|| {
        format!("no example in {}: run this in a clone of Tidegate, or name a directory of manifests", directory.display())
    })?;
    let ca = example.add_certificates()?;
    let app = App::bind(serve)?;
    for (address, name) in example.backends() {
        let backend = EchoOptions { listen: vec![address.into()], tls: Vec::new(), name: Arc::from(name) };
        let server = EchoServer::bind(&backend).context("a backend that the EndpointSlices name cannot be started")?;
        // Backends end with the process: nobody waits for them.
        tokio::spawn(server.serve(std::future::pending()));
    }
    let addresses = app.addresses();
    let lines = example.curl_lines(addresses, ca.as_deref());
    app.run(&mut stops, || {
        println!("Tidegate serves {} at http://{} and https://{}", directory.display(), addresses.http, addresses.https);
        println!("What it knows: curl http://{}/", addresses.admin);
        println!("\nTry:\n");
        lines.iter().for_each(|line| println!("  {line}"));
        println!("\nEdit the files while it runs: they are followed. Ctrl-C ends it. Requests are logged below.\n");
    })
    .await
}

/// Returns what `serve` would be given for this.
fn serve_options(options: &QuickstartOptions) -> anyhow::Result<ServeOptions> {
    let (http, https) = (options.http.to_string(), options.https.to_string());
    let directory = options.directory.to_str().context("the directory's name is not UTF-8")?;
    let flags = [
        ["--manifests", directory],
        ["--http", &http],
        ["--https", &https],
        ["--health", "127.0.0.1:0"],
        ["--admin", "127.0.0.1:0"],
        ["--drain-max", "2s"],
        ["--log-level", "warn"],
    ];
    let line = ["tidegate", "serve"].into_iter().chain(flags.into_iter().flatten());
    let Command::Serve(serve) = Options::parse_checked(line)?.command else { bail!("not serve") };
    Ok(*serve)
}
