//! The server that is measured: `icap-server` with two services that do next to nothing.
//!
//! ```text
//! bench-server --listen 127.0.0.1:1344
//! ```
//!
//! - `/b204` answers 204 at the preview, without a preview after the body.
//! - `/echo` answers 200 with the message as it came.
//!
//! Any signal that ends a process ends it. With `--log` it writes what it sees to standard error, one JSON object a
//! line.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use http_body_util::BodyExt;
use icap_proto::{InvalidHeader, IsTag, Method, ServiceOptions};
use icap_server::{Error, Reply, Request, Server, Timeouts, service_fn};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

#[derive(Debug, Parser)]
#[command(version, about = "The ICAP server that benchmarks measure: /b204 and /echo")]
struct Arguments {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1344")]
    listen: SocketAddr,

    /// Threads, each with a runtime and a listener of its own; the system shares the connections out
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,

    #[command(flatten)]
    terms: Terms,

    /// Write the log to standard error
    #[arg(long)]
    log: bool,
}

/// What clients may do.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Terms {
    /// Connections that each worker serves at a time; those beyond get 503
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: usize,

    /// Seconds for a head, for each byte of a body and for room to write, in place of 30
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
}

impl Terms {
    fn timeouts(self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let patience = Duration::from_secs(self.patience);
        (timeouts.head, timeouts.body, timeouts.write) = (patience, patience, patience);
        timeouts
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { listen, workers, terms, log } = Arguments::parse();
    ensure!(workers > 0, "there must be a worker");
    if log {
        tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    }
    let shared = workers > 1;
    let first = bind(listen, shared).with_context(|| format!("cannot listen on {listen}"))?;
    let address = first.local_addr()?;
    for _ in 1..workers {
        let listener = bind(address, shared)?;
        thread::spawn(move || serve(listener, terms));
    }
    println!("bench-server: listening on icap://{address}");
    serve(first, terms)
}

/// A listener; `shared` with others on the same port.
fn bind(address: SocketAddr, shared: bool) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
    }
    #[cfg(not(unix))]
    ensure!(!shared, "one worker only: this system does not share a port");
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: TcpListener, terms: Terms) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let server = Server::from_listener(listener)
            .max_connections(terms.max_connections)
            .timeouts(terms.timeouts())
            .service("/b204", service_fn(options()?, no_content))?
            .service("/echo", service_fn(options()?, echo))?;
        Ok(server.serve().await?)
    })
}

fn options() -> Result<ServiceOptions, InvalidHeader> {
    let options = ServiceOptions::respmod("Benchmark")?.method(Method::Reqmod);
    Ok(options.istag(IsTag::new("bench-1")?).preview(1024))
}

async fn no_content(request: Request) -> Result<Reply, Error> {
    let (head, preview) = request.preview().await?;
    if head.preview().is_none() {
        let mut body = preview.proceed().await?;
        while let Some(frame) = body.frame().await {
            frame?;
        }
    }
    Ok(Reply::unmodified())
}

async fn echo(request: Request) -> Result<Reply, Error> {
    let (head, body) = request.into_body().await?;
    match head.adapted_head() {
        Some(original) => Ok(Reply::modified(original.clone(), body)),
        None => Ok(Reply::unmodified()),
    }
}
