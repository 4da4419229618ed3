//! An ICAP server that looks for the EICAR test string, payment card numbers and a marking.
//!
//! ```text
//! scan-server --listen 127.0.0.1:1344
//! ```
//!
//! Services: `/reqmod` and `/respmod` scan requests and responses, `/echo` gives everything back.

use std::io::IsTerminal;
use std::net::SocketAddr;

use anyhow::Context;
use clap::Parser;
use icap::Server;
use icap_examples::engine::Engine;
use icap_examples::scan_service;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(version, about = "An ICAP server that scans messages")]
struct Arguments {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1344")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();

    let server = Server::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let server = scan_service::install(server, &Engine::new())?;
    println!("scan-server: listening on icap://{}", server.local_addr()?);
    server.serve_until(shutdown()).await?;
    Ok(())
}

/// Ctrl-C or, where there is such a thing, SIGTERM.
async fn shutdown() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
