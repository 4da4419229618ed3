//! Puts load on an ICAP server and checks every byte of its answers.
//!
//! ```text
//! icap-load icap://127.0.0.1:1344/echo --body 4096 --preview 1024 --connections 8
//! icap-load icap://127.0.0.1:1344/scan --body 100000 --rate 200 --connections 64 --duration 60
//! ```
//!
//! Bodies are noise, in which no scanner finds anything: each answer has to be a 204 or the same message in a 200.
//! Exit code: 0 for only good answers, 1 for any other, 2 when there was no run.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use icap_benches::load::{Bound, Message, Report, Run, Shape, Target};
use icap_proto::{Method, ServiceUri, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};

/// Shorter runs need no progress bar.
const LONG: Duration = Duration::from_secs(2);
/// How often to look whether the run is over.
const TICK: Duration = Duration::from_millis(20);
/// Steps of the progress bar.
const STEPS: u64 = 1_000;

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Puts load on an ICAP server and checks every byte of its answers",
    after_help = "Exit code: 0 for only good answers, 1 for any other, 2 when there was no run."
)]
struct Arguments {
    /// The service: icap://HOST:PORT/PATH, the port being 1344 unless given
    uri: String,

    #[arg(long, value_enum, default_value_t = LoadMethod::Respmod)]
    method: LoadMethod,

    /// Bytes of body; 0 for none
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    body: u64,

    /// Bytes of preview; without this option, none is sent
    #[arg(long, value_name = "BYTES")]
    preview: Option<u64>,

    /// Bytes of a chunk
    #[arg(long, value_name = "BYTES", default_value_t = 4096, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    chunk: u64,

    /// Do not say `Allow: 204`
    #[arg(long)]
    no_allow_204: bool,

    /// A field for the ICAP head, `Name: value`; may be repeated
    #[arg(long = "header", value_name = "FIELD", value_parser = field)]
    headers: Vec<(String, String)>,

    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    connections: usize,

    /// Threads
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    workers: usize,

    /// Requests a second, whether or not the server keeps up (open loop); without this option, each connection sends
    /// when it has its answer (closed loop)
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// Measured seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    duration: Duration,

    /// Seconds before that, in which answers are checked and not measured
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    warm_up: Duration,

    /// So many requests, in place of a time
    #[arg(long, value_name = "N", conflicts_with_all = ["duration", "warm_up"], value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Only this status is good, in place of 200 and 204
    #[arg(long, value_name = "STATUS", value_parser = status)]
    expect: Option<StatusCode>,

    /// The service may change the fields of the HTTP head
    #[arg(long)]
    changed_head: bool,

    /// Seconds for one request
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LoadMethod {
    Options,
    Reqmod,
    Respmod,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.json;
    let printed = run(arguments).and_then(|report| {
        if json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("{report}");
        }
        Ok(report.is_good())
    });
    match printed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("icap-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Report> {
    let uri = ServiceUri::parse(Bytes::from(arguments.uri.clone())).context("not a service URI")?;
    ensure!(!uri.is_secure(), "icaps is not spoken here: measure in front of TLS");
    let address = resolve(&uri)?;
    if !address.ip().is_loopback() {
        eprintln!("icap-load: {address} is not this machine; load only what is yours");
    }
    let shape = Shape {
        method: match arguments.method {
            LoadMethod::Options => Method::Options,
            LoadMethod::Reqmod => Method::Reqmod,
            LoadMethod::Respmod => Method::Respmod,
        },
        body: arguments.body,
        preview: arguments.preview,
        chunk: arguments.chunk,
        allow_no_content: !arguments.no_allow_204,
        fields: arguments.headers,
    };
    let (bound, warm_up) = match arguments.count {
        Some(count) => (Bound::Count(count), Duration::ZERO),
        None => {
            (Bound::Time(arguments.duration.saturating_add(arguments.warm_up)), arguments.warm_up)
        }
    };
    let target = Target {
        address,
        message: Message::new(uri, &shape)?,
        status: arguments.expect,
        same_head: !arguments.changed_head,
        timeout: arguments.timeout,
        warm_up,
    };
    let Arguments { rate, connections, workers, .. } = arguments;
    let run = Run::start(target, bound, rate, connections, workers)?;
    watch(&run, bound);
    Ok(run.wait())
}

/// The first address of the server that takes a connection.
fn resolve(uri: &ServiceUri) -> anyhow::Result<SocketAddr> {
    let host = uri.host().trim_start_matches('[').trim_end_matches(']');
    let mut last = None;
    for address in (host, uri.port()).to_socket_addrs().with_context(|| host.to_owned())? {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(10)) {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(anyhow::Error::new(error).context(address)),
        }
    }
    match last {
        Some(error) => Err(error.context("cannot connect")),
        None => bail!("{host} has no address"),
    }
}

/// Shows on a terminal how far the run is, until it is over.
fn watch(run: &Run, bound: Bound) {
    let bar = match bound {
        Bound::Time(limit) if limit < LONG => ProgressBar::hidden(),
        _ => ProgressBar::new(STEPS),
    };
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} %, {eta} to go") {
        bar.set_style(style);
    }
    while !run.is_over() {
        bar.set_position((run.progress() * STEPS as f64) as u64);
        thread::sleep(TICK);
    }
    bar.finish_and_clear();
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a field has a colon")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e7).contains(&rate) => Ok(rate),
        _ => Err("not a number from 0.001 to 10,000,000".into()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a number from 1 on".into()),
        Ok(number) => Ok(number),
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    let code = text.parse().map_err(|_| "not a number")?;
    StatusCode::new(code).ok_or_else(|| "not a status from 100 to 599".into())
}
