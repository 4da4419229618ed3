//! The command line, and what follows from it.

use std::borrow::Cow;
use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use icap::ServiceUri;
use icap::client::{Balance, Timeouts, Tls};
use icap::scanner::{Direction, Scanner, ScannerBuilder};
use icap::verdict::Profile;

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Sends files to ICAP services and prints a verdict for each",
    after_help = "Exit code: 0 when every file is allowed, 1 when one is blocked, 2 when one has no verdict, 3 when \
                  one came back modified. Of several 2 goes before 1, 1 before 3, and 3 before 0.\n\n\
                  A verdict is about the bytes that were read: files of up to 64 KiB are read ahead, up to six \
                  batches of 16."
)]
pub(crate) struct Arguments {
    /// What kind of server it is: symantec, forcepoint, reqmod, respmod, auto, or any profile by its name
    #[arg(long = "type", value_name = "TYPE", default_value = "auto", value_parser = profile_named)]
    kind: &'static Profile,
    /// A profile of one's own
    #[arg(long, value_name = "FILE.toml", conflicts_with = "kind")]
    profile: Option<PathBuf>,
    /// How files are presented, as uploads (reqmod) or downloads (respmod); as the profile likes it when left out
    #[arg(long, value_enum)]
    method: Option<MethodName>,
    /// Which of several services is asked
    #[arg(long, value_enum, default_value = "failover")]
    balance: BalanceName,
    /// Bytes to send as preview at most; as many as the service asks for when left out
    #[arg(long, value_name = "BYTES")]
    preview: Option<u64>,
    /// Send no preview
    #[arg(long, conflicts_with = "preview")]
    no_preview: bool,
    /// Give up when nothing moves for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,

    /// Scan what is in folders; links in them are not followed
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Files to scan at a time; no more than the type of server takes
    #[arg(long, short, value_name = "N", default_value = "4")]
    pub(crate) jobs: NonZeroU16,
    /// Print one JSON object for each file
    #[arg(long)]
    pub(crate) json: bool,

    /// Move blocked files into this folder, which is left out where it is below one that is scanned
    #[arg(long, value_name = "DIR")]
    pub(crate) quarantine: Option<PathBuf>,
    /// Run this program for each blocked file, with its path as the argument and its JSON object as the input
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exec: Option<PathBuf>,

    /// Trust these root certificates in place of the system's (icaps)
    #[arg(long, value_name = "PEM")]
    ca: Vec<PathBuf>,
    /// Show the server this certificate: a file with the chain and its private key (icaps)
    #[arg(long, value_name = "PEM")]
    client_cert: Option<PathBuf>,
    /// Trust the certificate with this SHA-256, in hexadecimal, and no other (icaps)
    #[arg(long, value_name = "SHA256", conflicts_with = "ca")]
    pin: Vec<String>,
    /// The name that the certificate has to have, in place of the host of the URI (icaps)
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Test the services step by step: name, TCP, TLS, OPTIONS, a clean sample, a sample that must be blocked
    #[arg(long)]
    pub(crate) check: bool,
    /// The sample that must be blocked, in place of the EICAR test file
    #[arg(long, value_name = "FILE", requires = "check")]
    pub(crate) must_block: Option<PathBuf>,

    /// Services, which begin with icap:// or icaps://, then files and folders; - is the standard input
    #[arg(required = true, value_name = "URI... PATH")]
    what: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MethodName {
    Reqmod,
    Respmod,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BalanceName {
    Failover,
    RoundRobin,
    LeastConnections,
}

/// What is asked, and about what.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uris: Vec<ServiceUri>,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) profile: Profile,
    tls: Option<Tls>,
}

impl Arguments {
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        let (uris, paths) = self.what.iter().partition::<Vec<_>, _>(|what| is_uri(what));
        let uri = |text: &OsString| {
            let text = text.to_string_lossy();
            ServiceUri::try_from(&*text).with_context(|| format!("no ICAP URI: {text}"))
        };
        let uris = uris.into_iter().map(uri).collect::<anyhow::Result<Vec<_>>>()?;
        let paths: Vec<PathBuf> = paths.into_iter().map(PathBuf::from).collect();
        ensure!(!uris.is_empty(), "no service: a URI that begins with icap:// or icaps://");
        ensure!(self.check || !paths.is_empty(), "no files; - is the standard input");
        ensure!(
            !self.check || paths.is_empty(),
            "--check has samples of its own, see --must-block"
        );
        Ok(Target { uris, paths, profile: self.read_profile()?, tls: self.tls()? })
    }

    /// A scanner of some of the services.
    pub(crate) fn scanner(
        &self,
        target: &Target,
        uris: &[ServiceUri],
    ) -> anyhow::Result<ScannerBuilder> {
        let mut timeouts = Timeouts::default();
        timeouts.io = Duration::from_secs(self.timeout);
        timeouts.head = timeouts.io;
        // As many files as there are jobs: those before it have limits for themselves.
        timeouts.wait = Duration::MAX;
        let (preview, no_preview, tls) = (self.preview, self.no_preview, target.tls.clone());
        let jobs = usize::from(self.jobs.get());
        let mut builder = uris
            .iter()
            .fold(Scanner::builder(target.profile.clone()), |builder, uri| builder.uri(uri.clone()))
            .balance(self.balance.into())
            .client(move |client| {
                let client = client.timeouts(timeouts).max_idle(jobs);
                let client = match (preview, no_preview) {
                    (_, true) => client.no_preview(),
                    (Some(bytes), false) => client.preview(bytes),
                    (None, false) => client,
                };
                match &tls {
                    Some(tls) => client.tls(tls.clone()),
                    None => client,
                }
            });
        if let Some(method) = self.method {
            builder = builder.direction(method.into());
        }
        Ok(builder)
    }

    fn read_profile(&self) -> anyhow::Result<Profile> {
        let Some(path) = &self.profile else { return Ok(self.kind.clone()) };
        let text = std::fs::read_to_string(path).with_context(|| shown(path).into_owned())?;
        Profile::from_toml(&text).with_context(|| shown(path).into_owned())
    }

    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let set = !self.ca.is_empty()
            || !self.pin.is_empty()
            || self.client_cert.is_some()
            || self.server_name.is_some();
        if !set {
            return Ok(None);
        }
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| shown(path).into_owned());
        let mut tls = Tls::new();
        for path in &self.ca {
            tls = tls.roots_pem(read(path)?);
        }
        for fingerprint in &self.pin {
            tls = tls.fingerprint(fingerprint);
        }
        if let Some(path) = &self.client_cert {
            let pem = read(path)?;
            tls = tls.client_pem(pem.clone(), pem);
        }
        if let Some(name) = &self.server_name {
            tls = tls.server_name(name);
        }
        Ok(Some(tls))
    }
}

impl From<MethodName> for Direction {
    fn from(method: MethodName) -> Self {
        match method {
            MethodName::Reqmod => Self::Upload,
            MethodName::Respmod => Self::Download,
        }
    }
}

impl From<BalanceName> for Balance {
    fn from(balance: BalanceName) -> Self {
        match balance {
            BalanceName::Failover => Self::Failover,
            BalanceName::RoundRobin => Self::RoundRobin,
            BalanceName::LeastConnections => Self::LeastConnections,
        }
    }
}

/// A path for people: a file name may hold anything, also what a terminal obeys.
pub(crate) fn shown(path: &Path) -> Cow<'_, str> {
    let text = path.to_str().map_or_else(|| path.to_string_lossy(), Cow::Borrowed);
    if !text.contains(char::is_control) {
        return text;
    }
    let mut shown = String::new();
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown.into()
}

/// A file whose name looks like a URI can be given as `./icap:…`.
fn is_uri(what: &OsString) -> bool {
    let what = what.to_string_lossy();
    let begins = |scheme: &str| {
        what.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins("icap://") || begins("icaps://")
}

fn profile_named(name: &str) -> Result<&'static Profile, String> {
    // Of the products of that house the one that cloud brokers mean by it.
    let known = if name.eq_ignore_ascii_case("symantec") { "symantec-dlp" } else { name };
    Profile::named(known).ok_or_else(|| {
        let names: Vec<&str> = Profile::built_in().iter().map(|profile| &*profile.name).collect();
        format!("one of: symantec, forcepoint, {}", names.join(", "))
    })
}
