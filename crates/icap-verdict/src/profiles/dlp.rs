//! Data-loss prevention.

use std::borrow::Cow;

use crate::problem::ProblemKind;
use crate::profile::{Ask, Direction, Operator, Profile, Reading, Replaced, StatusRule};
use crate::threat::Category;

use super::{marks, profile, texts};

pub(super) fn all() -> [Profile; 3] {
    [symantec(), forcepoint(), trellix()]
}

fn reading() -> Reading {
    Reading { replaced: Replaced::Block, category: Some(Category::Dlp), ..Reading::default() }
}

/// Blocks with HTTP 200 and a page of its own; no field says anything.
fn symantec() -> Profile {
    Profile {
        aliases: texts(["vontu", "vontu-npw", "symantec-dlp-npw"]),
        marks: marks([
            ("ISTag", "vontu"),
            ("Service", "vontu"),
            ("Service", "symantec data loss prevention"),
        ]),
        ask: Ask {
            paths: texts(["/respmod", "/reqmod"]),
            directions: Cow::Borrowed(&[Direction::Download, Direction::Upload]),
            max_concurrent: Some(16),
            // Of requests; of responses as the guide for cloud brokers sets it, 1.
            min_bytes: Some(4096),
            ..Ask::default()
        },
        read: reading(),
        operator: Operator {
            checklist: texts([
                "Traffic tab: Trial Mode off.",
                "Response Filtering: ignore responses smaller than 1 byte (4096 for requests as it comes).",
                "Response Filtering: inspect content type application/*.",
                "A response rule \"Block HTTP/HTTPS\" on every policy.",
                "REQMOD or RESPMOD on one server, never both.",
                "No more than 16 requests at a time to a server.",
            ]),
            unseen: texts([
                "Trial Mode, a file below the size limit, a content type that is not inspected and a policy without a blocking rule all answer 204.",
            ]),
        },
        ..profile("symantec-dlp", "Symantec DLP Network Prevent for Web (Vontu)")
    }
}

fn forcepoint() -> Profile {
    Profile {
        aliases: texts(["websense", "forcepoint"]),
        marks: marks([
            ("ISTag", "websense"),
            ("Service", "websense"),
            ("Service", "forcepoint"),
            ("Server", "forcepoint"),
        ]),
        ask: Ask {
            paths: texts(["/reqmod", "/icap"]),
            directions: Cow::Borrowed(&[Direction::Upload]),
            min_bytes: Some(30),
            ..Ask::default()
        },
        read: reading(),
        operator: Operator {
            checklist: texts([
                "ICAP server, HTTP/HTTPS tab: Mode \"Blocking\".",
                "HTTP/HTTPS tab: \"Block Traffic\" when an unspecified error occurs (it comes with \"Permit Traffic\").",
                "HTTP/HTTPS tab: minimum transaction size (30 bytes as it comes).",
                "The address of the client is in the list of allowed sources.",
                "X-Authenticated-User as WinNT://domain/user; NTLM:// is not resolved.",
                "The block page has more than 512 bytes.",
            ]),
            unseen: texts([
                "Monitoring mode, a file below the minimum size and an error with \"Permit Traffic\" all answer as for a clean file.",
            ]),
        },
        ..profile("forcepoint-dlp", "Forcepoint DLP")
    }
}

fn trellix() -> Profile {
    const TOO_LARGE: [u16; 4] = [406, 412, 414, 416];
    let too_large = |status| StatusRule { status, means: ProblemKind::TooLarge };
    Profile {
        aliases: texts(["trellix-dlp", "mcafee-dlp", "mcafee-dlp-prevent", "trellix"]),
        marks: marks([
            ("X-MFE-PREVENT", ""),
            ("Service", "dlp prevent"),
            ("Server", "dlp prevent"),
        ]),
        ask: Ask {
            paths: texts(["/reqmod", "/respmod"]),
            directions: Cow::Borrowed(&[Direction::Upload, Direction::Download]),
            ..Ask::default()
        },
        read: Reading { statuses: TOO_LARGE.map(too_large).to_vec().into(), ..reading() },
        operator: Operator {
            checklist: texts([
                "Send X-Authenticated-User, X-Client-IP and X-Server-IP.",
                "Decide what becomes of a file that cannot be scanned: it is let through with X-MFE-PREVENT: SCANFAIL.",
                "Decide what becomes of a file above the maximum size: a 4xx, or let through with SCANFAIL.",
            ]),
            unseen: texts(["A rule that only reports answers as for a clean file."]),
        },
        ..profile("trellix-dlp-prevent", "Trellix DLP Network Prevent")
    }
}
