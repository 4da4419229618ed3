//! How products say that they have found something. Clients can be tried against each.

use bytes::Bytes;
use clap::ValueEnum;
use icap::proto::{HttpHead, InvalidHeader, Method};
use icap::server::Reply;

use crate::engine::{Category, Finding};

/// The manners of a product: what it calls itself and how it refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, ValueEnum)]
#[non_exhaustive]
pub enum Personality {
    /// HTTP 403 and X-Infection-Found.
    #[default]
    Standard,
    /// Symantec DLP: HTTP 200 with a page, and no field.
    Symantec,
    /// Forcepoint DLP: HTTP 403 with a page, and no field.
    Forcepoint,
    /// McAfee or Skyhigh Web Gateway: HTTP 403 VirusFound.
    Mwg,
    /// c-icap's virus_scan: HTTP 403, X-Infection-Found in the ICAP head and no length of the page.
    CIcap,
    /// ICAPeg: of a request another request with a page as its body.
    Icapeg,
    /// OPSWAT MetaDefender: X-Response-Info, and a resolution of 0.
    Opswat,
    /// Kaspersky Web Traffic Security: X-Response-Info and X-Virus-ID.
    Kaspersky,
    /// Trend Micro Deep Discovery: HTTP 403 and several fields.
    TrendDdan,
}

impl Personality {
    /// What `Service` says.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Standard => "Scan server",
            Self::Symantec => "Symantec Data Loss Prevention",
            Self::Forcepoint => "Forcepoint DLP",
            Self::Mwg => "McAfee Web Gateway 7.7.2 build 25114",
            Self::CIcap => "C-ICAP/0.5.10 server - Antivirus service",
            Self::Icapeg => "ICAPeg",
            Self::Opswat => "OPSWAT MetaDefender ICAP Server",
            Self::Kaspersky => "Kaspersky Web Traffic Security",
            Self::TrendDdan => "Deep Discovery Analyzer",
        }
    }

    /// What `ISTag` says.
    pub(super) const fn istag(self) -> &'static str {
        match self {
            Self::Symantec => "Vontu14.0",
            Self::Forcepoint => "WEBSENSE",
            Self::CIcap => "CI0001-XXXXXXXXX",
            _ => concat!("scan-server-", env!("CARGO_PKG_VERSION")),
        }
    }

    /// The answer to a message in which something was found. `message` is the head of that message.
    pub(super) fn refuse(
        self,
        finding: &Finding,
        method: &Method,
        message: Option<&HttpHead>,
        page: String,
    ) -> Result<Reply, InvalidHeader> {
        let name = &*finding.name;
        let page = Bytes::from(page);
        let answer = |status, reason| -> Result<Reply, InvalidHeader> {
            let fields = [
                ("Content-Type", "text/html; charset=utf-8".to_owned()),
                ("Content-Length", page.len().to_string()),
                ("Cache-Control", "no-store".to_owned()),
            ];
            Ok(Reply::respond(HttpHead::response(status, reason, fields)?, page.clone()))
        };
        let kind = match finding.category {
            Category::Malware => 0,
            Category::Dlp => 1,
        };
        let found = |resolution| format!("Type={kind}; Resolution={resolution}; Threat={name};");
        match self {
            Self::Standard => answer(403, "Forbidden")?.header("X-Infection-Found", found(2)),
            Self::Symantec => answer(200, "OK"),
            Self::Forcepoint => answer(403, "Forbidden"),
            Self::Mwg => answer(403, "VirusFound")?.header("X-Virus-Name", name),
            Self::CIcap => {
                let head = HttpHead::response(403, "Forbidden", [("Content-Type", "text/html")])?;
                Reply::respond(head, page.clone()).header("X-Infection-Found", found(2))
            }
            Self::Icapeg => match message {
                Some(request) if *method == Method::Reqmod => {
                    let fields = [
                        ("Host", "misc".to_owned()),
                        ("Content-Type", "text/html; charset=utf-8".to_owned()),
                        ("Content-Length", page.len().to_string()),
                    ];
                    let head = HttpHead::request("PUT", request.target().unwrap_or("/"), fields)?;
                    Reply::modified(head, page.clone()).header("X-Virus-ID", name)
                }
                _ => answer(403, "Forbidden")?.header("X-Virus-ID", name),
            },
            Self::Opswat => answer(403, "Forbidden")?
                .header("X-Response-Info", "Blocked")?
                .header("X-Blocked-Reason", "Infected")?
                .header("X-Infection-Found", found(0)),
            Self::Kaspersky => answer(403, "Forbidden")?
                .header("X-Response-Info", "blocked")?
                .header("X-Virus-ID", name),
            Self::TrendDdan => answer(403, "Forbidden")?
                .header("X-Virus-ID", name)?
                .header("X-Response-Desc", "URL: blocked")?
                .header("X-Infection-Found", found(2)),
        }
    }
}
