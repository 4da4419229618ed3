//! Starts scan servers on loopback that answer in the manner of several products, sends real files to them, directly
//! and through a relay with TLS, and prints what each answer was taken for.
//!
//! No arguments, no network, no configuration. Exit code 1 when a verdict is not what it must be.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use icap::Server;
use icap::client::Tls;
use icap::scanner::{Report, Scanner};
use icap::verdict::{Profile, Verdict};
use icap_examples::engine::Engine;
use icap_examples::inspector::Inspectors;
use icap_examples::samples::{self, Expected, Sample};
use icap_examples::scan_service::{self, Personality, Terms};
use icap_examples::secure_relay::{Config, Service, new_identity};

/// The four types of connection that a cloud broker offers: profile, manners of the server, and path.
const TYPES: [(&str, Personality, &str); 4] = [
    ("symantec-dlp", Personality::Symantec, "respmod"),
    ("forcepoint-dlp", Personality::Forcepoint, "reqmod"),
    ("reqmod", Personality::Standard, "reqmod"),
    ("respmod", Personality::Standard, "respmod"),
];

/// Modes of the relay, and services behind it.
const RELAYED: [(&str, &str); 2] = [("icap", "reqmod"), ("tunnel", "respmod")];

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut tally = Tally::default();
    println!("Four types of connection, each to a server that answers in its manner:\n");
    println!("{}", types(&mut tally).await?);
    println!("\nOther manners, read with the profile auto:\n");
    println!("{}", manners(&mut tally).await?);
    println!(
        "\nThrough secure-relay over TLS, where client and relay show each other a certificate:\n"
    );
    println!("{}", relayed(&mut tally).await?);

    let Tally { scanned, wrong } = tally;
    let elapsed = started.elapsed();
    if wrong == 0 {
        println!("\n{scanned} scans in {elapsed:.1?}, every verdict as it must be.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{scanned} scans in {elapsed:.1?}, {wrong} verdicts WRONG.");
    Ok(ExitCode::FAILURE)
}

/// Each sample by each type of connection.
async fn types(tally: &mut Tally) -> anyhow::Result<Table> {
    let mut table = table(["File", "Type", "Size"].into_iter().map(str::to_owned).chain(
        TYPES.iter().map(|(profile, _, path)| format!("{profile}\n({})", path.to_uppercase())),
    ));
    let mut scanners = Vec::new();
    for (profile, personality, path) in TYPES {
        let profile = Profile::named(profile).context("a profile that comes with the crate")?;
        let address = serve(personality).await?;
        scanners.push(Scanner::builder(profile.clone()).uri(format!("{address}/{path}")).build()?);
    }
    for sample in samples::all() {
        let mut row = vec![
            Cell::new(sample.name),
            Cell::new(sample.content_type),
            Cell::new(indicatif::DecimalBytes(sample.bytes.len() as u64).to_string())
                .set_alignment(CellAlignment::Right),
        ];
        for scanner in &scanners {
            row.push(scan(scanner, &sample, tally).await?);
        }
        table.add_row(row);
    }
    Ok(table)
}

/// A clean and a bad sample by each of the other manners, as upload and as download.
async fn manners(tally: &mut Tally) -> anyhow::Result<Table> {
    let samples: Vec<Sample> = samples::all()
        .into_iter()
        .filter(|sample| ["clean.txt", "eicar.com"].contains(&sample.name))
        .collect();
    let mut table =
        table(["Server", "File", "as upload (REQMOD)", "as download (RESPMOD)"].map(str::to_owned));
    let shown =
        |personality: &&Personality| !TYPES.iter().any(|(_, of_type, _)| of_type == *personality);
    for personality in Personality::value_variants().iter().filter(shown) {
        let address = serve(*personality).await?;
        let scanner = |path: &str| {
            Scanner::builder(Profile::auto().clone()).uri(format!("{address}/{path}")).build()
        };
        let (uploads, downloads) = (scanner("reqmod")?, scanner("respmod")?);
        for sample in &samples {
            table.add_row([
                Cell::new(personality.service()),
                Cell::new(sample.name),
                scan(&uploads, sample, tally).await?,
                scan(&downloads, sample, tally).await?,
            ]);
        }
    }
    Ok(table)
}

/// Each sample through a relay in each of its modes; and a client without a certificate, which has to be refused.
async fn relayed(tally: &mut Tally) -> anyhow::Result<Table> {
    let directory = tempfile::tempdir()?;
    let relay = Relay::start(directory.path()).await?;
    let mut scanners = Vec::new();
    for (mode, path) in RELAYED {
        scanners.push(relay.scanner(mode, path, true)?);
    }
    let titles = RELAYED.map(|(mode, path)| format!("mode {mode}\n({})", path.to_uppercase()));
    let mut table = table(["File".to_owned()].into_iter().chain(titles));
    for sample in samples::all() {
        let mut row = vec![Cell::new(sample.name)];
        for scanner in &scanners {
            row.push(scan(scanner, &sample, tally).await?);
        }
        table.add_row(row);
    }
    let mut row = vec![Cell::new("without a certificate\nof the client")];
    for (mode, path) in RELAYED {
        row.push(refused(&relay.scanner(mode, path, false)?, tally).await);
    }
    table.add_row(row);
    Ok(table)
}

/// A relay between certificates that nobody else knows.
struct Relay {
    service: Service,
    /// As PEM: the relay's, and that of the client with its key.
    certificate: String,
    client: Vec<u8>,
}

impl Relay {
    /// With a server behind it; its files are in `directory`.
    async fn start(directory: &Path) -> anyhow::Result<Self> {
        let file = |name: &str| directory.join(name);
        let certificate = new_identity(&file("relay.pem"), &["localhost".to_owned()], 1)?;
        let known = new_identity(&file("client.pem"), &["client".to_owned()], 1)?;
        std::fs::write(file("known.pem"), known)?;
        let server = serve(Personality::Standard).await?;
        let connections = RELAYED.map(|(mode, _)| {
            format!(
                "[[connection]]\nname = {mode:?}\nmode = {mode:?}\nlisten = [\"127.0.0.1:0\"]\nidentity = {:?}\n\
                 client-ca = {:?}\nupstream = [{server:?}]\n",
                file("relay.pem"),
                file("known.pem"),
            )
        });
        let mut service = Service::new();
        service.apply(Config::from_toml(&connections.concat())?).await?;
        Ok(Self { service, certificate, client: std::fs::read(file("client.pem"))? })
    }

    /// Sends to the service `path` behind the connection of this mode.
    fn scanner(&self, mode: &str, path: &str, shows_certificate: bool) -> anyhow::Result<Scanner> {
        let address = self.service.addresses(mode).pop().context("it listens")?;
        let mut tls = Tls::new().roots_pem(self.certificate.as_str()).server_name("localhost");
        if shows_certificate {
            tls = tls.client_pem(self.client.as_slice(), self.client.as_slice());
        }
        Ok(Scanner::builder(Profile::named(path).context("a profile")?.clone())
            .uri(format!("icaps://{address}/{path}"))
            .client(move |client| client.tls(tls.clone()))
            .build()?)
    }
}

/// Tries to scan, which must not come further than the handshake.
async fn refused(scanner: &Scanner, tally: &mut Tally) -> Cell {
    let outcome = match scanner.scan_bytes("clean.txt", "clean").await {
        Ok(report) => report.verdict.to_string(),
        Err(error) => error.to_string(),
    };
    if outcome.contains("CertificateRequired") {
        return Cell::new("✔ refused\n  in the TLS handshake").fg(Color::Green);
    }
    tally.wrong = tally.wrong.saturating_add(1);
    Cell::new(format!("{outcome}  WRONG")).fg(Color::Red)
}

/// Starts a server with these manners, which ends with the program, and gives its address.
async fn serve(personality: Personality) -> anyhow::Result<String> {
    let mut terms = Terms::new(Inspectors::default().with(Engine::new()));
    terms.personality = personality;
    let server = scan_service::install_on_terms(Server::bind("127.0.0.1:0").await?, &terms)?;
    let address = format!("icap://{}", server.local_addr()?);
    tokio::spawn(server.serve());
    Ok(address)
}

#[derive(Debug, Default)]
struct Tally {
    scanned: usize,
    wrong: usize,
}

/// Scans a sample, counts it, and gives what there is to be shown of it.
async fn scan(scanner: &Scanner, sample: &Sample, tally: &mut Tally) -> anyhow::Result<Cell> {
    let report = scanner.scan_bytes(sample.name, sample.bytes.clone()).await?;
    let right = match sample.expected {
        Expected::Allow => report.verdict.is_allow(),
        Expected::Block => matches!(report.verdict, Verdict::Block(_)),
    };
    tally.scanned = tally.scanned.saturating_add(1);
    tally.wrong = tally.wrong.saturating_add(usize::from(!right));
    Ok(verdict_cell(&report, right))
}

fn table(titles: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    let bold = |title| Cell::new(title).add_attribute(Attribute::Bold);
    table.load_preset(UTF8_FULL_CONDENSED).set_header(titles.into_iter().map(bold));
    table
}

/// What was said, in how long; a wrong verdict says so.
fn verdict_cell(report: &Report, right: bool) -> Cell {
    let (text, color) = match &report.verdict {
        Verdict::Allow(_) => ("✔ allowed".to_owned(), Color::Green),
        Verdict::Block(block) => {
            let why = block.threat().map_or_else(|| block.reason.to_string(), str::to_owned);
            (format!("✘ blocked\n  {why}"), Color::Red)
        }
        other => (other.to_string(), Color::Yellow),
    };
    let status = report.status.map_or_else(|| "–".to_owned(), |status| status.to_string());
    let wrong = if right { "" } else { "  WRONG" };
    Cell::new(format!("{text}{wrong}\n  ICAP {status}, {:.1?}", report.elapsed)).fg(color)
}
