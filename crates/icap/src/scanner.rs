//! Send a file, get a verdict.

mod digest;
mod file;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use icap_client::{Client, Error, Outcome, Reqmod, Respmod};
use icap_proto::{HttpHead, InvalidHeader, ResponseHead, StatusCode};
pub use icap_verdict::Direction;
use icap_verdict::message::File;
use icap_verdict::{Answer, Body as Came, Problem, ProblemKind, Profile, Verdict};

use self::digest::{Digest, Tap};
use self::file::FileBody;

/// Scans bare files with an ICAP service: builds the HTTP message around a file, streams it, reads the answer to
/// its end and evaluates it.
///
/// Memory does not grow with the file. An answer that brings the message back is compared with what was sent by
/// SHA-256, so a server that answers 200 instead of 204 is understood without keeping the body. Every file is sent,
/// also one of an extension that the service would ignore (`Transfer-Ignore`).
///
/// ```no_run
/// use icap::scanner::{Direction, Scanner};
/// use icap::Client;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("icap://av.local/reqmod").build()?;
/// let scanner = Scanner::new(client, Direction::Upload);
/// let report = scanner.scan_file("invoice.pdf".as_ref()).await?;
/// println!("{}", report.verdict);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Scanner {
    client: Client,
    direction: Direction,
    profile: Profile,
}

/// What came of scanning one file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// What the server said. [`Verdict::Error`] when it could not be asked.
    pub verdict: Verdict,
    /// The ICAP status, when there was an answer.
    pub status: Option<StatusCode>,
    /// From opening the connection to the end of the answer.
    pub elapsed: Duration,
}

impl Scanner {
    /// A scanner that sends files to the service of `client`.
    #[must_use]
    pub fn new(client: Client, direction: Direction) -> Self {
        Self { client, direction, profile: Profile::auto().clone() }
    }

    /// Builds messages and reads answers as this product wants it; [`Profile::auto`] when nothing is said. What the
    /// profile knows of previews and connections is for whoever builds the client.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Scans a file; its name goes into the message, the rest of the path does not.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is shorter at its end than it was at its beginning. Trouble with the server is
    /// no error here but a [`Verdict::Error`].
    pub async fn scan_file(&self, path: &Path) -> io::Result<Report> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let body = FileBody::open(path).await?;
        self.scan(&name, body).await
    }

    /// Scans bytes under a name.
    ///
    /// # Errors
    ///
    /// None today; the signature is that of [`scan_file`](Self::scan_file).
    pub async fn scan_bytes(&self, name: &str, bytes: impl Into<Bytes>) -> io::Result<Report> {
        self.scan(name, Full::new(bytes.into()).map_err(|never| match never {})).await
    }

    async fn scan<B>(&self, name: &str, body: B) -> io::Result<Report>
    where
        B: Body<Data = Bytes, Error = io::Error> + Unpin + Send,
    {
        let started = Instant::now();
        let (tap, sent) = Tap::new(body);
        let (verdict, status) = match self.exchange(name, tap, &sent).await {
            Ok(judged) => judged,
            Err(Error::Source(error)) => return Err(io::Error::other(error)),
            Err(error) => (Verdict::Error(problem(&error)), None),
        };
        Ok(Report { verdict, status, elapsed: started.elapsed() })
    }

    async fn exchange<B>(
        &self,
        name: &str,
        body: Tap<B>,
        sent: &Digest,
    ) -> Result<(Verdict, Option<StatusCode>), Error>
    where
        B: Body<Data = Bytes, Error = io::Error> + Unpin + Send,
    {
        let file = File::new(name);
        let file = match body.size_hint().exact() {
            Some(length) => file.length(length),
            None => file,
        };
        let invalid = |error: InvalidHeader| Error::Source(error.into());
        let message = file.message(&self.profile, self.direction).map_err(invalid)?;
        let adapted = message.adapted().clone();
        let outcome = match message.response {
            None => {
                let reqmod = Reqmod::new(message.request, body).kept_by_caller().never_ignored();
                let reqmod = message
                    .icap
                    .iter()
                    .fold(reqmod, |reqmod, field| reqmod.header(field.name, field.value));
                self.client.reqmod(reqmod).await
            }
            Some(response) => {
                let respmod = Respmod::new(response, body).request(message.request);
                let respmod = message
                    .icap
                    .iter()
                    .fold(respmod, |respmod, field| respmod.header(field.name, field.value));
                self.client.respmod(respmod.kept_by_caller().never_ignored()).await
            }
        };
        self.judge(&adapted, outcome.map_err(Error::from), sent).await
    }

    /// Reads the answer to its end, then looks at it: what was cut has no verdict, unless its head names a finding.
    async fn judge<B>(
        &self,
        head: &HttpHead,
        outcome: Result<Outcome<B>, Error>,
        sent: &Digest,
    ) -> Result<(Verdict, Option<StatusCode>), Error>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match outcome {
            Ok(Outcome::NoContent(response)) => Ok(self.evaluate(head, &response, Came::Same)),
            Ok(Outcome::Modified(mut adapted) | Outcome::Answered(mut adapted)) => {
                let mut start = Vec::new();
                let came = Digest::of(&mut adapted, &mut start).await;
                let response = adapted.response();
                match came {
                    Ok(came) if sent.is_whole() && *sent == came => {
                        Ok(self.evaluate(head, response, Came::Same))
                    }
                    // A page whose head lies about its length still is an answer.
                    Ok(_) | Err(Error::Length(_)) => {
                        let came =
                            if response.has_body() { Came::Other(&start) } else { Came::Absent };
                        Ok(self.evaluate(head, response, came))
                    }
                    Err(error) => match self.evaluate(head, response, Came::Cut) {
                        found @ (Verdict::Block(_), _) => Ok(found),
                        _ => Err(error),
                    },
                }
            }
            // The message is kept here; another outcome would be one that is not known yet.
            Ok(_) => {
                let problem = Problem::new(ProblemKind::Protocol, "an outcome that is not known");
                Ok((Verdict::Error(problem), None))
            }
            Err(Error::Status(response)) => Ok(self.evaluate(head, &response, Came::Absent)),
            Err(error) => Err(error),
        }
    }

    fn evaluate(
        &self,
        head: &HttpHead,
        response: &ResponseHead,
        came: Came<'_>,
    ) -> (Verdict, Option<StatusCode>) {
        let method = self.direction.method();
        let answer = Answer::new(&method, head, response, came);
        (self.profile.evaluate(&answer), Some(response.status()))
    }
}

fn problem(error: &Error) -> Problem {
    let kind = match error {
        _ if error.is_timeout() => ProblemKind::Timeout,
        Error::MethodNotAllowed(_) => ProblemKind::MethodNotAllowed,
        Error::Protocol(_) | Error::MissingHead | Error::BeyondOriginal { .. } => {
            ProblemKind::Protocol
        }
        _ => ProblemKind::Connection,
    };
    Problem::new(kind, error.to_string())
}
