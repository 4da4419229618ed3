//! An ICAP server that looks for the EICAR test string, numbers of payment cards, bank accounts and social security,
//! and keywords, and asks ClamAV.
//!
//! ```text
//! scan-server --listen 127.0.0.1:1344
//! scan-server --tls-listen [::]:11344 --identity server.pem --client-ca proxies.pem
//! scan-server --clamd /run/clamav/clamd.ctl --personality symantec --content-type 'application/*'
//! ```
//!
//! Services: `/reqmod` and `/respmod` scan requests and responses, `/echo` gives everything back.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use globset::{Glob, GlobSetBuilder};
use icap::Server;
use icap::server::{Listener, Tls, TlsAcceptor};
use icap_examples::clamd::Clamd;
use icap_examples::engine::{DEFAULT_THRESHOLD, Engine};
use icap_examples::inspector::Inspectors;
use icap_examples::scan_service::{self, Personality, Terms};
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
    #[command(flatten)]
    scan: ScanArguments,
}

/// What is looked for, and what becomes of it.
#[derive(Debug, clap::Args)]
struct ScanArguments {
    /// Ask clamd too, at HOST:PORT or at the path of a Unix socket
    #[arg(long, value_name = "ADDR|PATH")]
    clamd: Option<Clamd>,
    /// Look for the lines of this file
    #[arg(long, value_name = "FILE")]
    keywords: Option<PathBuf>,
    /// Different numbers of one kind (cards, IBANs, social security) that make a finding; 0 to look for none
    #[arg(long, value_name = "N", default_value_t = DEFAULT_THRESHOLD)]
    threshold: u8,
    /// Refuse nothing and log what is found
    #[arg(long)]
    monitor: bool,
    /// Let smaller bodies through unseen
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    min_bytes: u64,
    /// Let bodies of other media types through unseen; a pattern such as application/*, may be repeated
    #[arg(long = "content-type", value_name = "PATTERN")]
    content_types: Vec<Glob>,
    /// The page of a refusal, in which {threat} stands for what was found
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Refuse in the manner of this product
    #[arg(long, value_enum, default_value_t)]
    personality: Personality,
}

impl ScanArguments {
    fn terms(self) -> anyhow::Result<Terms> {
        let mut engine = Engine::builder().threshold(self.threshold);
        if let Some(path) = &self.keywords {
            engine = engine.keywords(read(path)?.lines());
        }
        let mut inspectors = Inspectors::default().with(engine.build());
        if let Some(clamd) = self.clamd {
            inspectors = inspectors.with(clamd);
        }
        let mut terms = Terms::new(inspectors);
        terms.monitors = self.monitor;
        terms.min_bytes = self.min_bytes;
        terms.personality = self.personality;
        if let Some(path) = &self.page {
            terms.page = read(path)?;
        }
        if !self.content_types.is_empty() {
            let mut types = GlobSetBuilder::new();
            for pattern in self.content_types {
                types.add(pattern);
            }
            terms.content_types = Some(types.build()?);
        }
        Ok(terms)
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
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
    let mut server = scan_service::install_on_terms(server, &arguments.scan.terms()?)?;
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
