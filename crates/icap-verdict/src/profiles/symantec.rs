//! Symantec engines for malware.

use std::borrow::Cow;

use crate::problem::ProblemKind;
use crate::profile::{Ask, Direction, Operator, Profile, Reading, StatusRule};

use super::{marks, profile, texts};

pub(super) fn all() -> [Profile; 2] {
    [protection_engine(), content_analysis()]
}

/// Blocks with 200, 201 or 403 by the service that is asked, violations folded or not.
fn protection_engine() -> Profile {
    Profile {
        aliases: texts([
            "spe",
            "symantec-sse",
            "symantec-scan-engine",
            "symantec-protection-engine",
        ]),
        marks: marks([
            ("Service", "symantec scan engine"),
            ("Service", "symantec protection engine"),
            ("Service-ID", "symcscan"),
            ("X-Outer-Container-Is-Mime", ""),
        ]),
        ask: Ask {
            paths: texts(["/SYMCScanResp-AV", "/avscan", "/SYMCScanReq-AV", "/SYMCScanRespEx-AV"]),
            directions: Cow::Borrowed(&[Direction::Download, Direction::Upload]),
            ..Ask::default()
        },
        read: Reading {
            // 201 is "infected" on SYMCScanResp-AV, "repaired" only where every resolution says so.
            refusing_statuses: Cow::Borrowed(&[201, 403]),
            // Often a truncated archive; asking again gives the same.
            statuses: Cow::Borrowed(&[StatusRule { status: 500, means: ProblemKind::Unscannable }]),
            unindented_violations: true,
            ..Reading::default()
        },
        operator: Operator {
            checklist: texts([
                "Name a service path: without one the connection is closed.",
                "Decide whether infected files are repaired or blocked; a repaired file comes back changed.",
            ]),
            unseen: texts(["File types and sizes that the engine is told to skip answer 204."]),
        },
        ..profile("symantec-spe", "Symantec Protection Engine and Scan Engine")
    }
}

fn content_analysis() -> Profile {
    Profile {
        aliases: texts([
            "symantec-cas",
            "content-analysis",
            "bluecoat-cas",
            "proxyav",
            "symantec-proxyav",
        ]),
        marks: marks([
            ("X-Error-Code", ""),
            ("Service", "content analysis"),
            ("Service", "proxyav"),
            ("Server", "proxyav"),
        ]),
        ask: Ask { paths: texts(["/avscan"]), ..Ask::default() },
        operator: Operator {
            checklist: texts([
                "For files that cannot be scanned choose \"block\", so that the reason comes as X-Error-Code.",
            ]),
            unseen: texts(["Where an error is to be \"served\", it answers as for a clean file."]),
        },
        ..profile("symantec-content-analysis", "Symantec Content Analysis and ProxyAV")
    }
}
