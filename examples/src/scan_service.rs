//! The detection engine as an ICAP service.

mod passing;

use bytes::Bytes;
use http_body_util::BodyExt;
use icap::proto::{HttpHead, InvalidHeader, IsTag, Method, RequestHead};
use icap::server::{Error, Incoming, Reply, Request, Service};
use icap::{Server, ServiceOptions};

use self::passing::PassingBody;
use crate::engine::{Category, Engine, Finding};

/// The preview that the services ask for, in bytes. Enough to see what most files are.
pub const PREVIEW: u64 = 1024;

/// A service that lets a message pass unchanged or answers it with a block page.
///
/// A client that allows 204 gets its verdict when the whole body was seen. One that does not, such as Squid with
/// a large body, gets the message back while it is still being scanned: all but the last 32 KiB that were
/// seen. What is found in it then cuts the answer off in the middle, since the beginning cannot be taken back.
#[derive(Debug, Clone)]
pub struct ScanService {
    engine: Engine,
    options: ServiceOptions,
}

impl ScanService {
    /// A service that scans the bodies of requests.
    ///
    /// # Errors
    ///
    /// None; the texts of the service are constants.
    pub fn reqmod(engine: Engine) -> Result<Self, InvalidHeader> {
        Ok(Self { engine, options: with_common(ServiceOptions::reqmod("Scan server: requests")?)? })
    }

    /// A service that scans the bodies of responses.
    ///
    /// # Errors
    ///
    /// None; the texts of the service are constants.
    pub fn respmod(engine: Engine) -> Result<Self, InvalidHeader> {
        Ok(Self {
            engine,
            options: with_common(ServiceOptions::respmod("Scan server: responses")?)?,
        })
    }

    /// Scans the whole body and keeps none of it: the client still has it.
    async fn scan_all(&self, mut body: Incoming) -> Result<Reply, Error> {
        let mut scan = self.engine.scan();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                scan.update(data);
            }
            if let Some(finding) = scan.finding() {
                return block(finding);
            }
        }
        verdict(scan.finish())
    }

    /// Scans the body on its way back to the client.
    async fn scan_passing(&self, head: &RequestHead, body: Incoming) -> Result<Reply, Error> {
        let Some(original) = head.adapted_head() else { return Ok(Reply::unmodified()) };
        let mut passing = PassingBody::new(body, self.engine.scan());
        match passing.hold().await? {
            Some(finding) => block(&finding),
            None => Ok(Reply::modified(original.clone(), passing)),
        }
    }
}

impl Service for ScanService {
    fn options(&self) -> ServiceOptions {
        self.options.clone()
    }

    async fn call(&self, request: Request) -> Result<Reply, Error> {
        let (head, preview) = request.preview().await?;
        let mut scan = self.engine.scan();
        scan.update(preview.bytes());
        if preview.is_complete() {
            return verdict(scan.finish());
        }
        // What the preview shows need not be asked for.
        if let Some(finding) = scan.finding() {
            return block(finding);
        }
        let body = preview.proceed().await?;
        // Behind the preview a 204 needs the client's leave.
        if head.allow().no_content {
            self.scan_all(body).await
        } else {
            self.scan_passing(&head, body).await
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
        Ok(Self { options: with_common(options)? })
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

/// Adds the services `/reqmod`, `/respmod` and `/echo` to a server.
///
/// # Errors
///
/// The server has a service under one of these paths.
pub fn install(server: Server, engine: &Engine) -> anyhow::Result<Server> {
    Ok(server
        .service("/reqmod", ScanService::reqmod(engine.clone())?)?
        .service("/respmod", ScanService::respmod(engine.clone())?)?
        .service("/echo", EchoService::new()?)?)
}

fn with_common(options: ServiceOptions) -> Result<ServiceOptions, InvalidHeader> {
    let tag = IsTag::new(concat!("scan-server-", env!("CARGO_PKG_VERSION")))?;
    Ok(options.istag(tag).preview(PREVIEW))
}

fn verdict(finding: Option<Finding>) -> Result<Reply, Error> {
    match finding {
        None => Ok(Reply::unmodified()),
        Some(finding) => block(&finding),
    }
}

/// A page for the person and the fields that say the same to the client (draft-stecher-icap-subid section 4.5).
fn block(finding: &Finding) -> Result<Reply, Error> {
    let name = finding.name;
    let page = format!(
        "<!doctype html>\n<title>Blocked</title>\n<h1>Blocked</h1>\n\
         <p>This file was not let through: {name}.</p>\n"
    );
    let head = HttpHead::response(
        403,
        "Forbidden",
        [
            ("Content-Type", "text/html; charset=utf-8".to_owned()),
            ("Content-Length", page.len().to_string()),
            ("Cache-Control", "no-store".to_owned()),
        ],
    )?;
    let kind = match finding.category {
        Category::Malware => 0,
        _ => 1,
    };
    let found = format!("Type={kind}; Resolution=2; Threat={name};");
    Ok(Reply::respond(head, Bytes::from(page)).header("X-Infection-Found", found)?)
}
