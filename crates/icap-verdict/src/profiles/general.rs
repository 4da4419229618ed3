//! Profiles for no product in particular.

use std::borrow::Cow;

use crate::profile::{Ask, Direction, Operator, Profile, Reading, Replaced};
use crate::threat::Category;

use super::{profile, texts};

pub(super) fn auto() -> Profile {
    Profile {
        recognises: true,
        read: tolerant(),
        ..profile("auto", "the product is recognised by its answers")
    }
}

pub(super) fn all() -> [Profile; 4] {
    [generic(), reqmod(), respmod(), casb_dlp()]
}

fn generic() -> Profile {
    Profile {
        aliases: texts(["icap", "other"]),
        read: tolerant(),
        ..profile(
            "generic",
            "any server: another message in place of the one sent is a modification",
        )
    }
}

/// Forms that do no harm where a product does not use them.
fn tolerant() -> Reading {
    Reading { unindented_violations: true, ..Reading::default() }
}

fn reqmod() -> Profile {
    Profile {
        aliases: texts(["generic-reqmod", "mcas-reqmod"]),
        ask: Ask {
            directions: Cow::Borrowed(&[Direction::Upload]),
            paths: texts(["/reqmod"]),
            ..Ask::default()
        },
        ..contract("reqmod", "any server that answers allow or block to uploads")
    }
}

fn respmod() -> Profile {
    Profile {
        aliases: texts(["generic-respmod", "mcas-respmod"]),
        ask: Ask {
            directions: Cow::Borrowed(&[Direction::Download]),
            paths: texts(["/respmod"]),
            ..Ask::default()
        },
        ..contract("respmod", "any server that answers allow or block to downloads")
    }
}

fn casb_dlp() -> Profile {
    Profile {
        aliases: texts([
            "dlp",
            "generic-dlp",
            "mcas",
            "forcepoint-sse",
            "forcepoint-one",
            "forcepoint-one-sse",
            "digital-guardian",
            "gtb",
            "safetica",
            "netskope",
        ]),
        ask: Ask {
            directions: Cow::Borrowed(&[Direction::Upload, Direction::Download]),
            paths: texts(["/reqmod", "/respmod"]),
            ..Ask::default()
        },
        ..contract("casb-dlp", "any DLP server, by the contract of Forcepoint ONE SSE")
    }
}

/// 204 or the same message: passed. The error statuses: no verdict. Every other answer with content changed: the
/// policy failed.
fn contract(name: &'static str, product: &'static str) -> Profile {
    Profile {
        read: Reading { replaced: Replaced::Block, category: Some(Category::Dlp), ..tolerant() },
        operator: Operator {
            checklist: texts([
                "Set the server to blocking: in a monitoring mode every answer lets the message through.",
                "Scan a file that must be blocked after every change of the rules.",
            ]),
            unseen: texts([
                "A monitoring mode, and filters by size or type, answer as for a clean file.",
            ]),
        },
        ..profile(name, product)
    }
}
