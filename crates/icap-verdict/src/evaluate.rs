//! The order in which an answer is looked at.

use icap_proto::{Method, StatusCode};

use crate::answer::{Answer, Body, Inner};
use crate::compare::{self, Difference};
use crate::evidence;
use crate::fields::Fields;
use crate::findings::{self, Findings, KnownFields};
use crate::page;
use crate::problem::{Problem, ProblemKind, speaks_of_licence};
use crate::profile::{Profile, Replaced};
use crate::text::{has_word, printable};
use crate::threat::Category;
use crate::verdict::{
    Allow, AllowReason, Block, BlockReason, Details, Modified, ModifiedReason, ServerAction,
    Verdict,
};

/// The verdict of an answer, read with this profile.
///
/// The steps stand in this order, and the first that speaks decides: how the answer was delivered, the ICAP status,
/// marks of a failed scan, fields that name a finding, the shape of the message inside, the comparison with what was
/// sent. A finding beats what the steps before it say: a server that contradicts itself has found something.
pub(crate) fn evaluate(answer: &Answer<'_>, profile: &Profile) -> Verdict {
    let known = KnownFields::of(answer, profile);
    let case = Case { answer, profile, known, findings: findings::read(known) };
    case.delivery()
        .or_else(|| case.icap_status())
        .or_else(|| case.failed_scan())
        .filter(|_| case.findings.refusing.is_none())
        .or_else(|| case.finding())
        .or_else(|| case.shape())
        .unwrap_or_else(|| case.comparison())
}

/// An answer with what its fields say.
struct Case<'a> {
    answer: &'a Answer<'a>,
    profile: &'a Profile,
    known: KnownFields<'a>,
    findings: Findings,
}

/// The steps, in their order.
impl Case<'_> {
    /// 1. What was cut, came unasked, or is no final answer to this method has no verdict.
    fn delivery(&self) -> Option<Verdict> {
        let Answer { status, http, body, .. } = *self.answer;
        let backwards =
            *self.answer.method == Method::Respmod && http.is_some_and(|http| http.is_request());
        let (kind, detail) = if body == Body::Cut {
            (ProblemKind::Connection, "the answer was cut".to_owned())
        } else if !self.answer.solicited {
            (ProblemKind::Protocol, format!("unsolicited {status}"))
        } else if status.as_u16() < 200 {
            (ProblemKind::Protocol, format!("{status} as the final answer"))
        } else if backwards {
            (ProblemKind::Protocol, "a request in answer to RESPMOD".to_owned())
        } else {
            return None;
        };
        Some(self.error(Problem::new(kind, detail)))
    }

    /// 2. What the ICAP status alone decides: everything but a 204 and a message that came back.
    fn icap_status(&self) -> Option<Verdict> {
        let status = self.answer.status;
        let code = status.as_u16();
        if let Some(verdict) = self.error_code() {
            return Some(verdict);
        }
        if self.profile.read.refusing_statuses.contains(&code) {
            return Some(self.block(BlockReason::IcapStatus(code)));
        }
        if matches!(code, 200 | 201 | 204 | 206) {
            return None;
        }
        let own = self.profile.read.statuses.iter().find(|rule| rule.status == code);
        let usual = || ProblemKind::of_status(status, self.answer.reason);
        let kind = own.map_or_else(usual, |rule| rule.means);
        Some(self.error(Problem::from_status(kind, status, self.answer.reason)))
    }

    /// `X-Error-Code`: Symantec Content Analysis says so with a 500, refusals by file type among it.
    fn error_code(&self) -> Option<Verdict> {
        let code = self.known.first_text(&["X-Error-Code"])?;
        let word = code.to_ascii_lowercase();
        let kind = match word.as_str() {
            "file_type_blocked" | "file_extension_blocked" => {
                return Some(self.block_as(
                    BlockReason::Header("X-Error-Code".to_owned()),
                    Some(Category::MediaType),
                ));
            }
            "decode_error" | "password_protected" => ProblemKind::Unscannable,
            "max_file_size_exceeded" => ProblemKind::TooLarge,
            _ if word.starts_with("max_") => ProblemKind::Unscannable,
            _ if speaks_of_licence(&word) => ProblemKind::License,
            _ if word.contains("timeout") => ProblemKind::Timeout,
            _ if self.answer.status.is_error() => {
                ProblemKind::of_status(self.answer.status, self.answer.reason)
            }
            _ => ProblemKind::ServerError,
        };
        let mut problem = Problem::new(kind, format!("X-Error-Code: {code}"));
        problem.code = Some(code);
        Some(self.error(problem))
    }

    /// 3. A scan that failed, though the status lets the message through.
    fn failed_scan(&self) -> Option<Verdict> {
        // Trellix DLP: the appliance may be told to let through what it cannot scan, and then says so.
        let flag = self
            .known
            .first_text(&["X-MFE-PREVENT"])
            .filter(|flag| flag.to_ascii_uppercase().starts_with("SCANFAIL"));
        if let Some(flag) = flag {
            let detail = format!("X-MFE-PREVENT: {flag}");
            return Some(self.error(Problem::new(ProblemKind::Unscannable, detail)));
        }
        let failed = self.findings.unscannable.as_ref()?;
        let what = failed.text.as_deref().unwrap_or("the scan failed");
        let detail = format!("{}: {what}", failed.field);
        Some(self.error(Problem::new(ProblemKind::Unscannable, detail)))
    }

    /// 4. Fields of the ICAP head, then of the HTTP head inside.
    fn finding(&self) -> Option<Verdict> {
        let field = self.findings.refusing.clone()?;
        if self.findings.repaired && self.is_given_back_changed() {
            return Some(Verdict::Modified(Modified {
                reason: ModifiedReason::Repaired,
                threats: self.findings.threats.clone(),
                details: self.details(),
            }));
        }
        Some(self.own_failure().unwrap_or_else(|| self.block(BlockReason::Header(field))))
    }

    /// A refusal without a threat whose words speak of a scan that failed (OPSWAT).
    fn own_failure(&self) -> Option<Verdict> {
        let words = &self.profile.read.failure_words;
        if words.is_empty() || !self.findings.threats.is_empty() {
            return None;
        }
        // Words beside a reason may be the name of the file.
        let text = self.known.reason()?;
        if !words.iter().any(|word| has_word(&text, word)) {
            return None;
        }
        let kind = if speaks_of_licence(&text.to_ascii_lowercase()) {
            ProblemKind::License
        } else {
            ProblemKind::ScanFailed
        };
        let mut problem = Problem::new(kind, text);
        problem.server_action = ServerAction::Block;
        Some(self.error(problem))
    }

    /// 5. A response where a request was sent, or a response with another status.
    fn shape(&self) -> Option<Verdict> {
        let page = self.answer.page()?;
        if *self.answer.method == Method::Reqmod {
            // Whatever its HTTP status: Symantec DLP blocks with a 200.
            return Some(self.block(BlockReason::RequestAnswered));
        }
        let status = page.status();
        if status == self.answer.sent.status() {
            return None;
        }
        match status? {
            // Scanners report their own failures this way (Trend Vision One).
            code @ (400 | 401 | 407 | 500..) => Some(self.page_failure(code)),
            code @ 300..=399 => Some(self.block(BlockReason::Redirect(code))),
            code @ 402..=499 => Some(self.block(BlockReason::HttpStatus(code))),
            _ => None,
        }
    }

    fn page_failure(&self, status: u16) -> Verdict {
        let kind = match status {
            400 => ProblemKind::BadRequest,
            401 | 407 => ProblemKind::Auth,
            _ => self.profile.read.page_failure,
        };
        let text = page::text(self.answer);
        let said = text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        let mut problem =
            Problem::new(kind, format!("HTTP {status} in place of the response{said}"));
        problem.code = text.as_deref().and_then(page::code);
        self.error(problem)
    }

    /// 6. The same message came back, or another one. What is neither is no verdict.
    fn comparison(&self) -> Verdict {
        if self.answer.status == StatusCode::NO_CONTENT && self.answer.http.is_none() {
            return self.allow(AllowReason::NoContent);
        }
        let Some(http) = &self.answer.http else { return self.without_message() };
        // A 204 has no body, whatever head a server sends with it.
        let body = match (self.answer.status, self.answer.body) {
            (StatusCode::NO_CONTENT, Body::Absent) => Body::Same,
            (_, body) => body,
        };
        match compare::compare(&Answer { body, ..*self.answer }, http) {
            Difference::None => self.allow(AllowReason::Unchanged),
            Difference::Fields => self.modified(ModifiedReason::Fields),
            Difference::Message if self.profile.read.replaced == Replaced::Block => {
                self.block(BlockReason::Replaced)
            }
            Difference::Message => self.modified(ModifiedReason::Rewritten),
        }
    }

    fn without_message(&self) -> Verdict {
        if let Some(field) = &self.findings.allowing {
            return self.allow(AllowReason::Field(field.clone()));
        }
        if self.profile.read.empty_section_allows && says_empty_section(self.answer.icap) {
            return self.allow(AllowReason::NoContent);
        }
        let detail = format!("{} without an encapsulated message", self.answer.status);
        self.error(Problem::new(ProblemKind::Protocol, detail))
    }
}

/// What the steps give.
impl Case<'_> {
    fn allow(&self, reason: AllowReason) -> Verdict {
        Verdict::Allow(Allow { reason, details: self.details() })
    }

    fn modified(&self, reason: ModifiedReason) -> Verdict {
        Verdict::Modified(Modified { reason, threats: Vec::new(), details: self.details() })
    }

    fn block(&self, reason: BlockReason) -> Verdict {
        self.block_as(reason, None)
    }

    fn block_as(&self, reason: BlockReason, category: Option<Category>) -> Verdict {
        let mut details = self.details();
        let mut threats = self.findings.threats.clone();
        if self.profile.read.page_fields && threats.is_empty() {
            threats = page::threats(self.answer);
        }
        details.text = details.text.or_else(|| page::text(self.answer));
        let category = category.unwrap_or_else(|| self.category(&details, threats.is_empty()));
        Verdict::Block(Block {
            reason,
            category,
            threats,
            page: page::read(self.answer),
            contradiction: self.answer.status == StatusCode::NO_CONTENT
                || (self.answer.body == Body::Same && !self.answer.is_refused_by_shape()),
            details,
        })
    }

    fn error(&self, mut problem: Problem) -> Verdict {
        let has_message =
            self.answer.status == StatusCode::NO_CONTENT || self.answer.http.is_some();
        let delivered = self.answer.body != Body::Cut && self.answer.solicited;
        if problem.server_action == ServerAction::None && delivered {
            problem.server_action = if self.answer.is_refused_by_shape() {
                ServerAction::Block
            } else if has_message && self.answer.status.is_success() {
                ServerAction::Allow
            } else {
                ServerAction::None
            };
        }
        problem.page = page::read(self.answer);
        problem.details = self.details();
        Verdict::Error(problem)
    }

    fn category(&self, details: &Details, nameless: bool) -> Category {
        let text = details.text.as_deref().unwrap_or_default().to_ascii_lowercase();
        let by_text = ["virus", "malware", "infect"].iter().any(|word| text.contains(word));
        let by_url = || !self.known.values("X-Attribute").is_empty();
        match (self.findings.category, self.profile.read.category) {
            (Some(category), _) => category,
            _ if !nameless || by_text => Category::Malware,
            _ if by_url() => Category::UrlCategory,
            (None, Some(category)) => category,
            _ if self.findings.refusing.is_some() => Category::Policy,
            _ => Category::Unknown,
        }
    }

    fn details(&self) -> Details {
        let (scanner, evidence) = evidence::collect(self.answer, self.known);
        Details {
            text: self.findings.text.clone(),
            rule: self.findings.rule.clone(),
            scanner,
            profile: self.profile.name.to_string(),
            icap_status: Some(self.answer.status.as_u16()),
            http_status: self.answer.http.as_ref().and_then(Inner::status),
            evidence,
        }
    }

    /// Whether the message itself came back, with another body. A repaired file is another one.
    fn is_given_back_changed(&self) -> bool {
        let changed = matches!(self.answer.body, Body::Other(_));
        let delivered = self.answer.status.is_success() && self.answer.solicited;
        let same_kind = !self.answer.is_refused_by_shape() && self.answer.http.is_some();
        changed && delivered && same_kind && self.profile.read.replaced == Replaced::Modified
    }
}

/// `Encapsulated: req-hdr=0, null-body=0`: a head of no length (c-icap with `Allow204As200okZeroEncaps`).
fn says_empty_section(icap: Fields<'_>) -> bool {
    let Some(list) = icap.get("Encapsulated").map(printable) else { return false };
    let members: Vec<&str> = list.split(',').map(str::trim).collect();
    matches!(members[..], [head, "null-body=0"] if matches!(head, "req-hdr=0" | "res-hdr=0"))
}
