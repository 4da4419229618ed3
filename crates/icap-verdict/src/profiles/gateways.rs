//! Web gateways, sandboxes and brokers.

use std::borrow::Cow;

use crate::profile::{Ask, Direction, Operator, Profile, Reading};

use super::{marks, profile, texts};

pub(super) fn all() -> [Profile; 6] {
    [skyhigh(), trellix_ivx(), opswat(), fortisandbox(), clearswift(), check_point()]
}

fn skyhigh() -> Profile {
    Profile {
        aliases: texts([
            "mcafee-mwg",
            "mcafee",
            "mwg",
            "skyhigh",
            "webwasher",
            "mcafee-web-gateway",
        ]),
        marks: marks([
            ("Service", "mcafee"),
            ("Service", "web gateway"),
            ("Service", "skyhigh"),
            ("Service", "webwasher"),
            ("X-WWBlockResult", ""),
            ("X-MWG-Block-Reason", ""),
        ]),
        ask: Ask {
            paths: texts(["/respmod", "/reqmod", "/wwrespmod?profile=default", "/wwreqmod"]),
            ..Ask::default()
        },
        read: Reading { page_fields: true, ..Reading::default() },
        operator: Operator {
            checklist: texts([
                "Send the request head in RESPMOD; without it the answer is 418.",
                "Add rules for X-Virus-Name, X-Block-Reason and X-WWBlockResult; without them only the page tells.",
            ]),
            unseen: texts(["What a rule set skips, and bodies above its size limit, answer 204."]),
        },
        ..profile("skyhigh-mwg", "Skyhigh (McAfee) Web Gateway")
    }
}

fn trellix_ivx() -> Profile {
    Profile {
        aliases: texts(["trellix-nx", "fireeye-nx", "fireeye"]),
        marks: marks([("Service", "fireeye"), ("Server", "fireeye"), ("Service", "ivx")]),
        ask: Ask { paths: texts(["/ivx_scan"]), ..Ask::default() },
        operator: Operator {
            checklist: texts(["Switch on ICAP, then block mode: both are off as it comes."]),
            unseen: texts([
                "With REQMOD or RESPMOD disabled, or block mode off, everything answers 204.",
            ]),
        },
        ..profile("trellix-ivx", "Trellix NX and IVX")
    }
}

/// Sends `X-Response-Info` with every answer and `Resolution=0` with every block.
fn opswat() -> Profile {
    Profile {
        aliases: texts(["opswat", "opswat-mdicap", "metadefender", "metadefender-icap", "mdicap"]),
        marks: marks([
            ("Service", "metadefender"),
            ("Service", "opswat"),
            ("Server", "metadefender"),
            ("Server", "opswat"),
        ]),
        ask: Ask { paths: texts(["/OMSScanResp-AV", "/OMSScanReq-AV", "/"]), ..Ask::default() },
        read: Reading {
            // FILEMOD: infected and not repaired.
            refusing_statuses: Cow::Borrowed(&[403]),
            failure_words: texts([
                "license",
                "licence",
                "unlicensed",
                "unlicenced",
                "unavailable",
                "failed to scan",
                "scan failed",
                "timeout",
                "timed out",
                "error",
            ]),
            ..Reading::default()
        },
        operator: Operator {
            checklist: texts([
                "Keep the response headers X-Response-Info, X-Blocked-Reason and X-Infection-Found on.",
            ]),
            unseen: texts(["A workflow that skips a type or size answers as for a clean file."]),
        },
        ..profile("opswat-metadefender", "OPSWAT MetaDefender ICAP Server")
    }
}

fn fortisandbox() -> Profile {
    Profile {
        aliases: texts(["fortinet", "fortinet-fortisandbox"]),
        marks: marks([
            ("Service", "fortisandbox"),
            ("Server", "fortisandbox"),
            ("Service", "fortinet"),
        ]),
        ask: Ask {
            paths: texts(["/respmod", "/reqmod"]),
            // It answers 204 to a preview, whatever the file.
            preview: false,
            ..Ask::default()
        },
        operator: Operator {
            checklist: texts([
                "Send no preview.",
                "Choose the ratings that block.",
                "Send Content-Length in RESPMOD; of requests only GET, POST and PUT are looked at.",
            ]),
            unseen: texts(["A file without a verdict yet is let through."]),
        },
        ..profile("fortisandbox", "FortiSandbox")
    }
}

fn clearswift() -> Profile {
    Profile {
        aliases: texts(["clearswift"]),
        marks: marks([("Service", "clearswift"), ("Server", "clearswift")]),
        ask: Ask {
            directions: Cow::Borrowed(&[Direction::Upload, Direction::Download]),
            paths: texts(["/reqmod", "/respmod"]),
            ..Ask::default()
        },
        ..profile("clearswift-sig", "Clearswift Secure ICAP Gateway")
    }
}

fn check_point() -> Profile {
    Profile {
        aliases: texts(["checkpoint", "sandblast", "check-point-te"]),
        marks: marks([
            ("Service", "check point"),
            ("Service", "sandblast"),
            ("Service", "checkpoint"),
        ]),
        ask: Ask { paths: texts(["/sandblast"]), ..Ask::default() },
        read: Reading { empty_section_allows: true, ..Reading::default() },
        operator: Operator {
            checklist: texts([
                "Set the action for malicious files to block; \"continue\" lets them through.",
            ]),
            unseen: texts(["The action \"continue\" answers as for a clean file."]),
        },
        ..profile("check-point", "Check Point Threat Emulation (SandBlast)")
    }
}
