//! The engines of [`crate::inspector`] as an ICAP service.

mod passing;
mod personality;

use bytes::Bytes;
use globset::GlobSet;
use http_body_util::BodyExt;
use icap::proto::{HttpHead, InvalidHeader, IsTag, Method, RequestHead};
use icap::server::{Error, Incoming, Reply, Request, Service};
use icap::{Server, ServiceOptions};

use self::passing::Passing;
pub use self::personality::Personality;
use crate::engine::{Engine, Finding};
use crate::inspector::{Inspections, Inspectors};

/// The preview that the services ask for, in bytes. Enough to see what most files are.
pub const PREVIEW: u64 = 1024;

/// The page of a refusal when there is no other. `{threat}` stands for what was found.
pub const PAGE: &str = "<!doctype html>\n<title>Blocked</title>\n<h1>Blocked</h1>\n\
                        <p>This file was not let through: {threat}.</p>\n";

/// What is looked at, by whom, and what becomes of a message in which something is found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Terms {
    /// Who looks.
    pub inspectors: Inspectors,
    /// Nothing is refused; what is found is logged.
    pub monitors: bool,
    /// Bodies of fewer bytes are let through unseen.
    pub min_bytes: u64,
    /// Bodies of other media types are let through unseen. Without this, all are looked at.
    pub content_types: Option<GlobSet>,
    /// The page of a refusal; `{threat}` in it stands for what was found.
    pub page: String,
    /// How a refusal is said.
    pub personality: Personality,
}

impl Terms {
    /// Refuses what these find in any body.
    #[must_use]
    pub fn new(inspectors: Inspectors) -> Self {
        Self {
            inspectors,
            monitors: false,
            min_bytes: 0,
            content_types: None,
            page: PAGE.to_owned(),
            personality: Personality::default(),
        }
    }

    /// Whether a body is to be looked at. A length or type that is not known is.
    fn concern(&self, message: Option<&HttpHead>, seen: &Bytes, is_complete: bool) -> bool {
        let field = |name| {
            let value = message?.headers().get(name)?;
            std::str::from_utf8(value).ok()
        };
        let announced = || field("Content-Length")?.trim().parse().ok();
        let length = if is_complete { u64::try_from(seen.len()).ok() } else { announced() };
        if length.is_some_and(|length| length < self.min_bytes) {
            return false;
        }
        match (&self.content_types, field("Content-Type")) {
            (Some(types), Some(found)) => {
                let media_type = found.split(';').next().unwrap_or_default().trim();
                types.is_match(media_type.to_ascii_lowercase())
            }
            _ => true,
        }
    }
}

/// A service that lets a message pass unchanged or answers it with a block page.
///
/// A client that allows 204 gets its verdict when the whole body was seen. One that does not, such as Squid with
/// a large body, gets the message back while it is still being scanned: all but the last 32 KiB that were
/// seen. What is found in it then cuts the answer off in the middle, since the beginning cannot be taken back.
///
/// When an inspector fails the answer is 500: what nobody has looked at is not let through.
#[derive(Debug, Clone)]
pub struct ScanService {
    terms: Terms,
    options: ServiceOptions,
}

impl ScanService {
    /// A service that scans the bodies of requests.
    ///
    /// # Errors
    ///
    /// None; the texts of the service are constants.
    pub fn reqmod(terms: Terms) -> Result<Self, InvalidHeader> {
        let options = ServiceOptions::reqmod(terms.personality.service())?;
        Ok(Self { options: with_common(options, terms.personality.istag())?, terms })
    }

    /// A service that scans the bodies of responses.
    ///
    /// # Errors
    ///
    /// None; the texts of the service are constants.
    pub fn respmod(terms: Terms) -> Result<Self, InvalidHeader> {
        let options = ServiceOptions::respmod(terms.personality.service())?;
        Ok(Self { options: with_common(options, terms.personality.istag())?, terms })
    }

    /// Scans the whole body and keeps none of it: the client still has it. `seen` bytes of it were looked at.
    async fn scan_all(
        &self,
        head: &RequestHead,
        mut body: Incoming,
        mut inspections: Inspections,
        mut seen: usize,
    ) -> Result<Reply, Error> {
        let mut found = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let known = data.len().min(seen);
            seen = seen.saturating_sub(known);
            found = inspections.update(&data.slice(known..)).await?;
            if found.is_some() {
                break;
            }
        }
        match found {
            Some(finding) => self.found(head, &finding),
            None => self.verdict(head, inspections.finish().await?),
        }
    }

    /// Scans the body on its way back to the client.
    async fn scan_passing(
        &self,
        head: &RequestHead,
        body: Incoming,
        inspections: Inspections,
        seen: usize,
    ) -> Result<Reply, Error> {
        let Some(original) = head.adapted_head() else { return Ok(Reply::unmodified()) };
        let mut passing = Passing::new(body, inspections, self.terms.monitors);
        match passing.hold(seen).await? {
            Some(finding) => self.found(head, &finding),
            None => Ok(Reply::modified(original.clone(), passing.into_body())),
        }
    }

    fn verdict(&self, head: &RequestHead, finding: Option<Finding>) -> Result<Reply, Error> {
        match finding {
            None => Ok(Reply::unmodified()),
            Some(finding) => self.found(head, &finding),
        }
    }

    fn found(&self, head: &RequestHead, finding: &Finding) -> Result<Reply, Error> {
        let Terms { monitors, page, personality, .. } = &self.terms;
        if *monitors {
            tracing::warn!(%finding, "found, and let pass: this is a monitor");
            return Ok(Reply::unmodified());
        }
        tracing::info!(%finding, "blocked");
        // Names are of letters that mean nothing in HTML.
        let page = page.replace("{threat}", &finding.name);
        Ok(personality.refuse(finding, head.method(), head.adapted_head(), page)?)
    }
}

impl Service for ScanService {
    fn options(&self) -> ServiceOptions {
        self.options.clone()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let (head, preview) = request.preview().await?;
        let seen = preview.bytes().clone();
        if !self.terms.concern(head.adapted_head(), &seen, preview.is_complete()) {
            return Ok(Reply::unmodified());
        }
        let mut inspections = self.terms.inspectors.begin().await?;
        // What the preview shows need not be asked for.
        if let Some(finding) = inspections.update(&seen).await?
            && !self.terms.monitors
        {
            return self.found(&head, &finding);
        }
        if preview.is_complete() {
            return self.verdict(&head, inspections.finish().await?);
        }
        let body = preview.proceed().await?;
        // Behind the preview a 204 needs the client's leave.
        if head.allow().no_content {
            self.scan_all(&head, body, inspections, seen.len()).await
        } else {
            self.scan_passing(&head, body, inspections, seen.len()).await
        }
    }
}

/// A service that gives every message back as it came, in a 200.
#[derive(Debug, Clone)]
pub struct EchoService {
    options: ServiceOptions,
}

impl EchoService {
    /// The service.
    ///
    /// # Errors
    ///
    /// None; the texts of the service are constants.
    pub fn new() -> Result<Self, InvalidHeader> {
        let options = ServiceOptions::respmod("Scan server: echo")?.method(Method::Reqmod);
        Ok(Self { options: with_common(options, Personality::Standard.istag())? })
    }
}

impl Service for EchoService {
    fn options(&self) -> ServiceOptions {
        self.options.clone()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let (head, preview) = request.preview().await?;
        let body = preview.proceed().await?;
        match head.adapted_head() {
            Some(original) => Ok(Reply::modified(original.clone(), body)),
            None => Ok(Reply::unmodified()),
        }
    }
}

/// Adds the services `/reqmod`, `/respmod` and `/echo` to a server, with an engine on its usual terms.
///
/// # Errors
///
/// The server has a service under one of these paths.
pub fn install(server: Server, engine: &Engine) -> anyhow::Result<Server> {
    install_on_terms(server, &Terms::new(Inspectors::default().with(engine.clone())))
}

/// The same on other terms.
///
/// # Errors
///
/// The server has a service under one of these paths.
pub fn install_on_terms(server: Server, terms: &Terms) -> anyhow::Result<Server> {
    Ok(server
        .service("/reqmod", ScanService::reqmod(terms.clone())?)?
        .service("/respmod", ScanService::respmod(terms.clone())?)?
        .service("/echo", EchoService::new()?)?)
}

fn with_common(options: ServiceOptions, tag: &str) -> Result<ServiceOptions, InvalidHeader> {
    Ok(options.istag(IsTag::new(tag)?).preview(PREVIEW))
}
