//! Send a file, get a verdict.

mod builder;
mod digest;
mod file;
mod report;
mod services;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{Full, StreamBody};
use icap_client::{BoxError, Error, Outcome, Reqmod, Respmod, SentTo};
#[cfg(feature = "identity")]
use icap_proto::Identity;
use icap_proto::{HttpHead, InvalidHeader, ResponseHead, ServiceOptions, StatusCode};
pub use icap_verdict::Direction;
use icap_verdict::message::File;
use icap_verdict::{Answer, Body as Came, Policy, Problem, ProblemKind, Profile, Verdict};
use tokio::io::AsyncRead;
use tokio::sync::{OnceCell, Semaphore};

pub use self::builder::ScannerBuilder;
use self::digest::{Digest, OnRead, Tap};
use self::file::FileBody;
pub use self::file::open_file;
pub use self::report::Report;
use self::report::problem;
pub use self::services::Services;

/// Scans bare files with ICAP services: builds the HTTP message around a file, streams it, reads the answer to
/// its end and evaluates it.
///
/// Memory does not grow with the file. An answer that brings the message back is compared with what was sent by
/// SHA-256, so a server that answers 200 instead of 204 is understood without keeping the body. Every file is sent,
/// also one of an extension that the service would ignore (`Transfer-Ignore`). Clones share everything, and scan at
/// the same time as far as [`ScannerBuilder::max_concurrent`] lets them.
///
/// ```no_run
/// use icap::Scanner;
/// use icap::verdict::{Action, Profile};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let profile = Profile::named("symantec-dlp").ok_or("no such profile")?;
/// let scanner = Scanner::builder(profile.clone())
///     .uri("icap://dlp1.local/respmod")
///     .uri("icap://dlp2.local/respmod")
///     .build()?;
/// let report = scanner.scan_file("invoice.pdf").await?;
/// println!("{} by {:?} in {:?}", report.verdict, report.server, report.elapsed);
/// if report.decision.action != Action::Allow {
///     return Err("held back".into());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Scanner {
    shared: Arc<Shared>,
}

/// What clones of a scanner share.
struct Shared {
    services: Services,
    profile: Profile,
    /// Known from the start, or from the first OPTIONS.
    direction: OnceCell<Direction>,
    policy: Policy,
    turns: Option<Semaphore>,
    on_read: Option<OnRead>,
    #[cfg(feature = "identity")]
    identity: Option<Identity>,
}

impl Scanner {
    /// Starts a scanner of services of this product; [`Profile::auto`] for any.
    pub fn builder(profile: Profile) -> ScannerBuilder {
        ScannerBuilder::new(profile)
    }

    /// Scans a file; its name goes into the message, the rest of the path does not.
    ///
    /// # Errors
    ///
    /// It is no file (a folder, a pipe, a device), cannot be read, or is shorter at its end than it was at its
    /// beginning. Trouble with the server is no error here but a [`Verdict::Error`].
    pub async fn scan_file(&self, path: impl AsRef<Path>) -> io::Result<Report> {
        let path = path.as_ref();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Files that wait are not open.
        let _turn = self.turn().await;
        let body = FileBody::open(path).await?;
        self.scan(&name, body).await
    }

    /// Scans bytes under a name.
    ///
    /// # Errors
    ///
    /// None today; the signature is that of [`scan_file`](Self::scan_file).
    pub async fn scan_bytes(&self, name: &str, bytes: impl Into<Bytes>) -> io::Result<Report> {
        let _turn = self.turn().await;
        self.scan(name, Full::new(bytes.into())).await
    }

    /// Scans what a reader gives, to its end, under a name. It is read as fast as the server takes it.
    ///
    /// ```no_run
    /// # async fn run(scanner: icap::Scanner) -> std::io::Result<()> {
    /// let report = scanner.scan_reader("stdin", tokio::io::stdin()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The reader failed.
    pub async fn scan_reader(
        &self,
        name: &str,
        reader: impl AsyncRead + Send,
    ) -> io::Result<Report> {
        let pieces = tokio_util::io::ReaderStream::with_capacity(reader, 64 * 1024);
        let frames = futures_util::TryStreamExt::map_ok(pieces, http_body::Frame::data);
        self.scan_body(name, Box::pin(StreamBody::new(frames))).await
    }

    /// Scans a body under a name. Trailers are not sent.
    ///
    /// # Errors
    ///
    /// The body failed.
    pub async fn scan_body<B>(&self, name: &str, body: B) -> io::Result<Report>
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: Into<BoxError>,
    {
        let _turn = self.turn().await;
        self.scan(name, body).await
    }

    /// Asks a service what it can do, see [`Client::options`](icap_client::Client::options).
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn options(&self) -> Result<ServiceOptions, Error> {
        self.shared.services.options().await
    }

    /// What is known of the product.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.shared.profile
    }

    async fn turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // It is never closed.
        self.shared.turns.as_ref()?.acquire().await.ok()
    }

    async fn scan<B>(&self, name: &str, body: B) -> io::Result<Report>
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: Into<BoxError>,
    {
        let started = Instant::now();
        let sent = Digest::default();
        let tap = Tap::new(body, &sent, self.shared.on_read.as_ref());
        let note = self.shared.services.note();
        let verdict = match self.exchange(name, tap, &sent, note.as_ref()).await {
            Ok(verdict) => verdict,
            Err(Error::Source(error)) => {
                // What a file said is passed on as it was.
                return Err(match error.downcast::<io::Error>() {
                    Ok(error) => *error,
                    Err(error) => io::Error::other(error),
                });
            }
            Err(error) => Verdict::Error(problem(&error)),
        };
        Ok(Report {
            decision: self.shared.policy.decide(&verdict),
            status: verdict.details().icap_status.and_then(StatusCode::new),
            verdict,
            bytes: sent.bytes(),
            elapsed: started.elapsed(),
            server: self.shared.services.asked(note.as_ref()),
        })
    }

    async fn exchange<B>(
        &self,
        name: &str,
        body: Tap<'_, B>,
        sent: &Digest,
        note: Option<&SentTo>,
    ) -> Result<Verdict, Error>
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: Into<BoxError>,
    {
        let Shared { services, profile, .. } = &*self.shared;
        let file = File::new(name);
        let file = match body.size_hint().exact() {
            Some(length) => file.length(length),
            None => file,
        };
        let direction = self.direction().await;
        let invalid = |error: InvalidHeader| Error::Source(error.into());
        let message = file.message(profile, direction).map_err(invalid)?;
        let adapted = message.adapted().clone();
        let fields = message.icap.iter();
        let outcome = match message.response {
            None => {
                let reqmod = Reqmod::new(message.request, body).kept_by_caller().never_ignored();
                let reqmod = fields.fold(reqmod, |to, field| to.header(field.name, field.value));
                #[cfg(feature = "identity")]
                let reqmod = match &self.shared.identity {
                    Some(identity) => reqmod.identity(identity.clone()),
                    None => reqmod,
                };
                services.reqmod(note.into_iter().fold(reqmod, Reqmod::sent_to)).await
            }
            Some(response) => {
                let respmod = Respmod::new(response, body).request(message.request);
                let respmod = fields.fold(respmod, |to, field| to.header(field.name, field.value));
                #[cfg(feature = "identity")]
                let respmod = match &self.shared.identity {
                    Some(identity) => respmod.identity(identity.clone()),
                    None => respmod,
                };
                let respmod = respmod.kept_by_caller().never_ignored();
                services.respmod(note.into_iter().fold(respmod, Respmod::sent_to)).await
            }
        };
        self.judge(direction, &adapted, outcome.map_err(Error::from), sent).await
    }

    /// How files are presented: as was said, else in the first way of the profile that the service lists. A service
    /// that cannot be reached is asked again with the next file.
    async fn direction(&self) -> Direction {
        let Shared { direction, profile, services, .. } = &*self.shared;
        let liked = &profile.ask.directions;
        let first = liked.first().copied().unwrap_or(Direction::Download);
        let ask = || async {
            match services.options().await {
                Ok(options) => {
                    let listed = |way: &&Direction| options.has_method(&way.method());
                    Ok(liked.iter().find(listed).copied().unwrap_or(first))
                }
                Err(Error::Status(_)) => Ok(first),
                Err(_) => Err(first),
            }
        };
        direction.get_or_try_init(ask).await.copied().unwrap_or_else(|first| first)
    }

    /// Reads the answer to its end, then looks at it: what was cut has no verdict, unless its head names a finding.
    async fn judge<B>(
        &self,
        direction: Direction,
        head: &HttpHead,
        outcome: Result<Outcome<B>, Error>,
        sent: &Digest,
    ) -> Result<Verdict, Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match outcome {
            Ok(Outcome::NoContent(response)) => {
                Ok(self.evaluate(direction, head, &response, Came::Same))
            }
            Ok(Outcome::Modified(mut adapted) | Outcome::Answered(mut adapted)) => {
                let mut start = Vec::new();
                let came = Digest::of(&mut adapted, &mut start).await;
                let response = adapted.response();
                match came {
                    Ok(came) if sent.is_whole() && *sent == came => {
                        Ok(self.evaluate(direction, head, response, Came::Same))
                    }
                    // A page whose head lies about its length still is an answer.
                    Ok(_) | Err(Error::Length(_)) => {
                        let came =
                            if response.has_body() { Came::Other(&start) } else { Came::Absent };
                        Ok(self.evaluate(direction, head, response, came))
                    }
                    Err(error) => match self.evaluate(direction, head, response, Came::Cut) {
                        found @ Verdict::Block(_) => Ok(found),
                        _ => Err(error),
                    },
                }
            }
            // The message is kept here; another outcome would be one that is not known yet.
            Ok(_) => {
                let problem = Problem::new(ProblemKind::Protocol, "an outcome that is not known");
                Ok(Verdict::Error(problem))
            }
            Err(Error::Status(response)) => {
                Ok(self.evaluate(direction, head, &response, Came::Absent))
            }
            Err(error) => Err(error),
        }
    }

    fn evaluate(
        &self,
        direction: Direction,
        head: &HttpHead,
        response: &ResponseHead,
        came: Came<'_>,
    ) -> Verdict {
        let method = direction.method();
        self.shared.profile.evaluate(&Answer::new(&method, head, response, came))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("services", &self.services)
            .field("profile", &self.profile.name)
            .field("direction", &self.direction)
            .finish_non_exhaustive()
    }
}
