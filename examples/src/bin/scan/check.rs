//! `--check`: from the name of a server to a sample that it must block, one step at a time.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use icap::client::Error;
use icap::scanner::Report;
use icap::verdict::{Profile, Verdict};
use icap::{Scanner, ServiceOptions, ServiceUri};
use icap_examples::samples;
use serde::Serialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::arguments::{Arguments, Target, shown};
use crate::certificate;
use crate::output::Amount;

/// For a name, a connection and a handshake, each.
const LIMIT: Duration = Duration::from_secs(10);

/// Checks each service, and gives the exit code: 0 when all steps are good, 2 otherwise.
pub(crate) async fn run(arguments: &Arguments, target: &Target) -> anyhow::Result<u8> {
    let sample = sample(arguments, &target.profile)?;
    let mut good = true;
    for uri in &target.uris {
        let uris = std::slice::from_ref(uri);
        let scanner = arguments.scanner(target, uris)?.build()?;
        let steps = Steps { uri, json: arguments.json };
        let name = arguments.server_name.as_deref();
        good &= check(&steps, &scanner, name, &sample).await?;
    }
    Ok(if good { 0 } else { 2 })
}

/// The sample that must be blocked.
struct Sample {
    name: String,
    bytes: Bytes,
}

/// EICAR, or the user's own; large enough not to be passed over by the server for its size.
fn sample(arguments: &Arguments, profile: &Profile) -> anyhow::Result<Sample> {
    if let Some(path) = &arguments.must_block {
        let bytes = std::fs::read(path).with_context(|| shown(path).into_owned())?.into();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(Sample { name, bytes });
    }
    let mut bytes = samples::eicar().to_vec();
    let least = profile.ask.min_bytes.map_or(0, |bytes| bytes.saturating_add(1));
    let least = usize::try_from(least).unwrap_or_default();
    if bytes.len() < least {
        bytes.resize(least, b' ');
    }
    Ok(Sample { name: "eicar.com".to_owned(), bytes: bytes.into() })
}

async fn check(
    steps: &Steps<'_>,
    scanner: &Scanner,
    server_name: Option<&str>,
    sample: &Sample,
) -> io::Result<bool> {
    let host = steps.uri.host().trim_start_matches('[').trim_end_matches(']');
    let Some(addresses) = name(steps, host).await? else { return Ok(false) };
    let Some(stream) = tcp(steps, &addresses).await? else { return Ok(false) };

    let mut tls_time = None;
    let mut shown = String::new();
    if steps.uri.is_secure() {
        let began = Instant::now();
        match certificate::look(stream, server_name.unwrap_or(host), LIMIT).await {
            Ok(certificate) => shown = certificate.to_string(),
            Err(error) => {
                steps.bad("TLS", began, &format!("{error:#}"), &["Is it a port with TLS?"])?;
                return Ok(false);
            }
        }
        tls_time = Some(began);
    } else {
        drop(stream);
    }
    let options_began = Instant::now();
    let options = scanner.options().await;
    if let Some(began) = tls_time {
        if let Err(Error::Tls(error)) = &options {
            let hints = [
                "--ca FILE trusts a certificate authority of your own, --pin SHA256 this one certificate.",
                "--server-name NAME is for a certificate with another name than the URI has.",
            ];
            steps.bad("TLS", began, &format!("{error}; shown: {shown}"), &hints)?;
            return Ok(false);
        }
        steps.good("TLS", began, &shown)?;
    }
    if !self::options(steps, options_began, options, scanner.profile())? {
        return Ok(false);
    }
    let clean = clean(steps, scanner).await?;
    let blocked = must_block(steps, scanner, sample).await?;
    Ok(clean && blocked)
}

async fn name(steps: &Steps<'_>, host: &str) -> io::Result<Option<Vec<SocketAddr>>> {
    let began = Instant::now();
    let found = timeout(LIMIT, lookup_host((host, steps.uri.port()))).await;
    let why =
        match found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut)).and_then(|found| found) {
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.collect();
                if !addresses.is_empty() {
                    let list: Vec<String> =
                        addresses.iter().map(|at| at.ip().to_string()).collect();
                    steps.good("name", began, &list.join(", "))?;
                    return Ok(Some(addresses));
                }
                "no address".to_owned()
            }
            Err(error) => error.to_string(),
        };
    steps.bad("name", began, &why, &["Is the name right, and known on this machine?"])?;
    Ok(None)
}

async fn tcp(steps: &Steps<'_>, addresses: &[SocketAddr]) -> io::Result<Option<TcpStream>> {
    let began = Instant::now();
    match timeout(LIMIT, TcpStream::connect(addresses)).await {
        Ok(Ok(stream)) => {
            let peer = stream.peer_addr().map_or_else(|_| String::new(), |peer| peer.to_string());
            steps.good("TCP", began, &peer)?;
            return Ok(Some(stream));
        }
        Ok(Err(error)) => steps.bad("TCP", began, &error.to_string(), &TCP_HINTS)?,
        Err(_) => steps.bad("TCP", began, "no answer", &TCP_HINTS)?,
    }
    Ok(None)
}

const TCP_HINTS: [&str; 2] = [
    "Does the server run, and is the port right (1344, with TLS 11344)?",
    "Do all firewalls on the way let it through, and does the server let this address in?",
];

/// What the service says of itself. One that says nothing may work all the same.
fn options(
    steps: &Steps<'_>,
    began: Instant,
    options: Result<ServiceOptions, Error>,
    profile: &Profile,
) -> io::Result<bool> {
    let error = match options {
        Ok(options) => {
            steps.good("OPTIONS", began, &described(&options))?;
            return Ok(true);
        }
        Err(error) => error,
    };
    let mut hints = vec!["Is the path of the service right?".to_owned()];
    if !profile.ask.paths.is_empty() {
        hints.push(format!("Paths of {}: {}", profile.product, profile.ask.paths.join(", ")));
    }
    if steps.uri.is_secure() {
        hints.push("--client-cert PEM is for a server that wants to see one.".to_owned());
    }
    let hints: Vec<&str> = hints.iter().map(String::as_str).collect();
    steps.bad("OPTIONS", began, &error.to_string(), &hints)?;
    Ok(false)
}

fn described(options: &ServiceOptions) -> String {
    let methods: Vec<&str> = options.methods().iter().map(|method| method.as_str()).collect();
    let mut text = methods.join(", ");
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {value}"));
        }
    };
    add("preview", options.preview_bytes().map(|bytes| bytes.to_string()));
    add("connections", options.connections().map(|most| most.to_string()));
    add("ISTag", options.tag().map(ToString::to_string));
    text
}

async fn clean(steps: &Steps<'_>, scanner: &Scanner) -> io::Result<bool> {
    let began = Instant::now();
    let least = scanner.profile().ask.min_bytes.unwrap_or_default().saturating_add(64);
    let line = b"A clean file.\n".iter().copied().cycle();
    let bytes: Vec<u8> = line.take(usize::try_from(least).unwrap_or(64)).collect();
    let report = scanner.scan_bytes("clean.txt", bytes).await?;
    if report.verdict.is_allow() {
        steps.good("clean", began, &report.verdict.why().to_string())?;
        return Ok(true);
    }
    let hints = match &report.verdict {
        Verdict::Error(_) => ["The server answers and does not scan: see its own log."],
        _ => ["Is there a rule that blocks or changes everything?"],
    };
    steps.bad("clean", began, &report.verdict.to_string(), &hints)?;
    Ok(false)
}

async fn must_block(steps: &Steps<'_>, scanner: &Scanner, sample: &Sample) -> io::Result<bool> {
    let began = Instant::now();
    let report = scanner.scan_bytes(&sample.name, sample.bytes.clone()).await?;
    let what = format!("{}, {} bytes: {}", sample.name, sample.bytes.len(), report.verdict);
    if matches!(report.verdict, Verdict::Block(_)) {
        steps.good("must-block", began, &what)?;
        return Ok(true);
    }
    let profile = judged_by(&report, scanner.profile());
    let mut hints: Vec<&str> = profile.operator.checklist.iter().map(|hint| &**hint).collect();
    hints.extend(profile.operator.unseen.iter().map(|hint| &**hint));
    hints.push("A server for data loss does not know the EICAR file: --must-block FILE is for one of yours.");
    steps.bad("must-block", began, &what, &hints)?;
    Ok(false)
}

/// The profile of the product that answered, where that was recognised.
fn judged_by<'a>(report: &Report, profile: &'a Profile) -> &'a Profile {
    Profile::named(&report.verdict.details().profile)
        .filter(|_| profile.recognises)
        .unwrap_or(profile)
}

/// Prints the steps of one service.
struct Steps<'a> {
    uri: &'a ServiceUri,
    json: bool,
}

/// A step in JSON.
#[derive(Serialize)]
struct Line<'a> {
    service: String,
    step: &'a str,
    ok: bool,
    milliseconds: f64,
    detail: &'a str,
    hints: &'a [&'a str],
}

impl Steps<'_> {
    fn good(&self, step: &str, began: Instant, detail: &str) -> io::Result<()> {
        self.tell(step, began, detail, None)
    }

    fn bad(&self, step: &str, began: Instant, detail: &str, hints: &[&str]) -> io::Result<()> {
        self.tell(step, began, detail, Some(hints))
    }

    /// Prints a step; there are hints when it failed.
    fn tell(
        &self,
        step: &str,
        began: Instant,
        detail: &str,
        hints: Option<&[&str]>,
    ) -> io::Result<()> {
        let elapsed = began.elapsed();
        let mut out = io::stdout().lock();
        if self.json {
            let line = Line {
                service: self.uri.to_string(),
                step,
                ok: hints.is_none(),
                milliseconds: elapsed.as_secs_f64() * 1e3,
                detail,
                hints: hints.unwrap_or_default(),
            };
            serde_json::to_writer(&mut out, &line)?;
            return writeln!(out);
        }
        if step == "name" {
            writeln!(out, "{}", self.uri)?;
        }
        let word = if hints.is_none() { "ok" } else { "FAILED" };
        writeln!(out, "  {word:<6} {step:<10} {:>9}  {detail}", Amount::time(elapsed))?;
        for hint in hints.unwrap_or_default() {
            writeln!(out, "         {:<10} {:>9}  - {hint}", "", "")?;
        }
        Ok(())
    }
}
