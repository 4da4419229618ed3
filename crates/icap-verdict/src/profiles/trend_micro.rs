//! Trend Micro.

use std::borrow::Cow;

use crate::problem::ProblemKind;
use crate::profile::{Ask, Direction, Operator, Profile, Reading};

use super::{marks, profile, texts};

pub(super) fn all() -> [Profile; 3] {
    [interscan(), deep_discovery(), vision_one()]
}

fn interscan() -> Profile {
    Profile {
        aliases: texts(["trend-iwss", "trend-iwsva", "trend-web-gateway", "iwsva"]),
        marks: marks([
            ("Service", "interscan"),
            ("Server", "interscan"),
            ("Service", "iwsva"),
            ("Service", "iwss"),
            ("Service", "trend micro"),
        ]),
        ask: Ask {
            paths: texts(["/avscan", "/interscan", "/RESP-Service", "/REQ-Service"]),
            ..Ask::default()
        },
        operator: Operator {
            checklist: texts([
                "Switch on X-Virus-ID and X-Infection-Found; without them only the block page tells.",
            ]),
            unseen: texts(["Types and sizes that are not scanned answer 204."]),
        },
        ..profile("trend-interscan", "Trend Micro InterScan (IWSVA, IWSS) and Web Gateway")
    }
}

fn deep_discovery() -> Profile {
    Profile {
        aliases: texts(["ddan", "trend-deep-discovery"]),
        marks: marks([("Server", "deep discovery"), ("Service", "deep discovery")]),
        ask: Ask {
            paths: texts(["/response", "/request"]),
            max_concurrent: Some(1000),
            ..Ask::default()
        },
        operator: Operator {
            checklist: texts(["The address of the client is in the ICAP client list."]),
            unseen: texts([
                "A file that is not known yet is let through and queued; the finding comes too late for this transfer.",
            ]),
        },
        ..profile("trend-ddan", "Trend Micro Deep Discovery Analyzer")
    }
}

/// Reports failures of the scan as HTTP 5xx in place of the response, with a text and a number.
fn vision_one() -> Profile {
    Profile {
        aliases: texts(["trend-visionone", "trend-vision-one", "trend-vision-one-fs"]),
        marks: marks([
            ("Service", "vision one"),
            ("Server", "vision one"),
            ("Service", "file security"),
        ]),
        ask: Ask {
            paths: texts(["/scan"]),
            directions: Cow::Borrowed(&[Direction::Download]),
            name_field: Some(Cow::Borrowed("X-scan-file-name")),
            ..Ask::default()
        },
        read: Reading { page_failure: ProblemKind::Unscannable, ..Reading::default() },
        operator: Operator {
            checklist: texts(["Send the file name, in the URL or as X-scan-file-name."]),
            unseen: texts([]),
        },
        ..profile("trend-visionone-fs", "Trend Vision One File Security")
    }
}
