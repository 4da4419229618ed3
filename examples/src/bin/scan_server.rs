//! An ICAP server that looks for the EICAR test string, payment card numbers and a marking.
//!
//! ```text
//! scan-server --listen 127.0.0.1:1344
//! scan-server --tls-listen [::]:11344 --identity server.pem --client-ca proxies.pem
//! ```
//!
//! Services: `/reqmod` and `/respmod` scan requests and responses, `/echo` gives everything back.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use icap::Server;
use icap::server::{Listener, Tls, TlsAcceptor};
use icap_examples::engine::Engine;
use icap_examples::scan_service;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(version, about = "An ICAP server that scans messages")]
struct Arguments {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1344")]
    listen: SocketAddr,
    /// Address and port to listen on with TLS too
    #[arg(long, value_name = "ADDR", requires = "identity")]
    tls_listen: Option<SocketAddr>,
    /// Certificate and private key in one file
    #[arg(long, value_name = "PEM", requires = "tls_listen")]
    identity: Option<PathBuf>,
    /// Take only clients with a certificate of these issuers
    #[arg(long, value_name = "PEM", requires = "tls_listen")]
    client_ca: Option<PathBuf>,
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
    let mut server = scan_service::install(server, &Engine::new())?;
    println!("scan-server: listening on icap://{}", server.local_addr()?);
    if let (Some(addr), Some(identity)) = (arguments.tls_listen, &arguments.identity) {
        let tls = tls(identity, arguments.client_ca.as_deref())?;
        let listener =
            Listener::bind(addr).await.with_context(|| format!("cannot listen on {addr}"))?;
        println!("scan-server: listening on icaps://{}", listener.local_addr().unwrap_or(addr));
        server = server.listen(listener.tls(tls));
    }
    server.serve_until(shutdown()).await?;
    Ok(())
}

fn tls(identity: &Path, client_ca: Option<&Path>) -> anyhow::Result<TlsAcceptor> {
    let read = |path: &Path| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut tls = Tls::new().identity_pem(read(identity)?);
    if let Some(path) = client_ca {
        tls = tls.client_roots_pem(read(path)?);
    }
    tls.acceptor().with_context(|| format!("cannot use {}", identity.display()))
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
