//! `check`: everything looked at before anybody connects.

use std::process::ExitCode;

use icap_client::Error;

use super::args::Flags;
use super::config::Upstream;
use super::front::ClientAuth;
use super::relay::{Relay, States};
use super::routes;

/// Prints a line for each thing looked at: `ok`, `warn` or `FAIL`. 0 without a FAIL, 1 with one, 2 when flags or
/// configuration are wrong.
pub(crate) async fn run(flags: &Flags) -> ExitCode {
    let config = match flags.resolve() {
        Ok(config) => config,
        Err(error) => {
            println!("FAIL  configuration: {error:#}");
            return ExitCode::from(2);
        }
    };
    println!("ok    configuration");
    let mut report = Report { failed: false };
    let mut states = States::default();
    for connection in config.connections {
        let name = connection.name.clone();
        println!("\n[{name}]");
        match Relay::load(connection, &mut states) {
            Err(error) => report.fail(&format!("{error:#}")),
            Ok(relay) => {
                facts(&mut report, &relay, config.expiry_warning);
                servers(&mut report, &relay).await;
            }
        }
    }
    if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

struct Report {
    failed: bool,
}

impl Report {
    fn fail(&mut self, what: &str) {
        self.failed = true;
        println!("FAIL  {what}");
    }
}

fn facts(report: &mut Report, relay: &Relay, days: u32) {
    // A pin counts whatever its dates.
    let pinned = match &relay.door.clients {
        ClientAuth::Pinned(known) => known.list.len(),
        ClientAuth::Off | ClientAuth::Issued(_) => 0,
    };
    let dated = relay.door.certificates.len().saturating_sub(pinned);
    for (position, certificate) in relay.door.certificates.iter().enumerate() {
        match certificate.warning(days) {
            None => println!("ok    {certificate}: {} days left", certificate.days_left()),
            Some(warning) if certificate.is_valid_now() || position >= dated => {
                println!("warn  {warning}");
            }
            Some(warning) => report.fail(&warning),
        }
    }
    match (&relay.door.clients, relay.settings.listen.is_empty()) {
        (_, true) => {}
        (ClientAuth::Off, _) => println!("warn  clients need no certificate"),
        (ClientAuth::Issued(known), _) => {
            println!(
                "ok    clients need a certificate of {} in client-ca or issued by it",
                known.list.len()
            );
        }
        (ClientAuth::Pinned(known), _) => {
            println!("ok    clients need one of {} pinned certificates", known.list.len());
        }
    }
    match &relay.door.allow {
        None => println!("warn  no allow-list: any address may connect"),
        Some(list) => println!("ok    allow-list: {} addresses and networks", list.len()),
    }
    for warning in relay.warnings() {
        println!("warn  {warning}");
    }
}

async fn servers(report: &mut Report, relay: &Relay) {
    for (server, upstream) in relay.group.servers.iter().zip(relay.settings.all_servers()) {
        let uri = &server.uri;
        match server.connect(relay.settings.connect_timeout()).await {
            Err(error) => {
                report.fail(&format!("{uri}: {error}"));
                continue;
            }
            Ok(_) if uri.is_secure() => println!("ok    {uri}: TCP and TLS"),
            Ok(_) => println!("ok    {uri}: TCP"),
        }
        match options(relay, upstream).await {
            Ok(line) => println!("ok    {uri}: {line}"),
            Err(Asked::Status(line)) => println!("warn  {uri}: {line}; is the path right?"),
            Err(Asked::Failed(line)) => report.fail(&format!("{uri}: OPTIONS: {line}")),
        }
    }
}

enum Asked {
    /// It speaks ICAP, but of another service.
    Status(String),
    Failed(String),
}

async fn options(relay: &Relay, upstream: &Upstream) -> Result<String, Asked> {
    let client = routes::client(&relay.settings, upstream)
        .map_err(|error| Asked::Failed(format!("{error:#}")))?;
    match client.options().await {
        Ok(options) => {
            let methods: Vec<_> = options.methods().iter().map(ToString::to_string).collect();
            let preview = options
                .preview_bytes()
                .map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
            let most =
                options.connections().map_or_else(|| "any".to_owned(), |number| number.to_string());
            let service = options.service().unwrap_or("no name");
            let methods = methods.join(", ");
            Ok(format!(
                "OPTIONS: {methods}; preview {preview}; connections {most}; service {service:?}"
            ))
        }
        Err(error @ Error::Status(_)) => Err(Asked::Status(format!("OPTIONS: {error}"))),
        Err(error) => Err(Asked::Failed(with_causes(&error))),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
