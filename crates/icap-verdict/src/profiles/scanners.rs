//! Virus scanners.

use std::borrow::Cow;

use crate::profile::{Ask, Direction, Operator, Profile, Reading, Violations};

use super::{marks, profile, texts};

pub(super) fn all() -> [Profile; 10] {
    [
        squidclamav(),
        icapeg(),
        kaspersky_kwts(),
        kaspersky_scan_engine(),
        sophos(),
        eset(),
        f_secure(),
        bitdefender(),
        dr_web(),
        // The server under several of the others: last.
        c_icap(),
    ]
}

fn c_icap() -> Profile {
    Profile {
        aliases: texts(["c-icap", "clamav", "clamav-cicap"]),
        marks: marks([("Server", "c-icap"), ("ISTag", "CI0001-"), ("Service", "c-icap")]),
        ask: Ask {
            paths: texts(["/avscan", "/virus_scan", "/srv_clamav"]),
            max_bytes: Some(5 * 1024 * 1024),
            ..Ask::default()
        },
        read: Reading { empty_section_allows: true, ..Reading::default() },
        operator: Operator {
            checklist: texts([
                "virus_scan.ScanFileTypes names every type that is to be scanned.",
                "virus_scan.MaxObjectSize is above the largest file (5 MiB as it comes).",
                "An engine is loaded: without one everything is let through.",
                "virus_scan.SendPercentData is 0: a block after data was sent is only a broken connection.",
            ]),
            unseen: texts([
                "A type that is not scanned, a file above MaxObjectSize and a missing engine all answer 204.",
            ]),
        },
        ..profile("clamav-c-icap", "c-icap with ClamAV, and its URL and content filters")
    }
}

fn squidclamav() -> Profile {
    Profile {
        marks: marks([("Service", "squidclamav"), ("ISTag", "squidclamav")]),
        ask: Ask { paths: texts(["/squidclamav"]), ..Ask::default() },
        read: Reading { empty_section_allows: true, ..Reading::default() },
        operator: Operator {
            checklist: texts([
                "Set redirect or the template: without either there is no block page.",
            ]),
            unseen: texts(["What its abort, white list and maxsize rules name answers 204."]),
        },
        ..profile("squidclamav", "SquidClamav on c-icap")
    }
}

/// Blocks an upload with a changed request that carries the block page.
fn icapeg() -> Profile {
    Profile {
        aliases: texts(["icapeg-clamav"]),
        marks: marks([
            ("Service", "icapeg"),
            ("Server", "icapeg"),
            ("X-ICAP-Metadata", ""),
            ("X-ICAPeg-Shadow-Service", ""),
        ]),
        ask: Ask { paths: texts(["/clamav"]), ..Ask::default() },
        operator: Operator {
            checklist: texts(["Switch the shadow service off: it answers 204 to everything."]),
            unseen: texts(["The shadow service of the configuration answers 204 to everything."]),
        },
        ..profile("icapeg", "ICAPeg")
    }
}

fn kaspersky_kwts() -> Profile {
    Profile {
        aliases: texts([
            "kwts",
            "kaspersky",
            "kaspersky-proxy",
            "kav-proxy",
            "kaspersky-web-traffic-security",
        ]),
        marks: marks([("Service", "kaspersky"), ("Server", "kaspersky")]),
        ask: Ask { paths: texts(["/av/respmod", "/av/reqmod"]), ..Ask::default() },
        operator: Operator {
            checklist: texts([
                "Rules of access block without naming a threat: X-Virus-ID says \"no threats\" then.",
            ]),
            unseen: texts(["What a rule lets bypass the scan answers as for a clean file."]),
        },
        ..profile("kaspersky-kwts", "Kaspersky Web Traffic Security and Anti-Virus for Proxy")
    }
}

fn kaspersky_scan_engine() -> Profile {
    Profile {
        aliases: texts(["kavicapd", "kaspersky-se"]),
        marks: marks([("Server", "kl icap"), ("Service", "kl icap")]),
        ask: Ask { paths: texts(["/resp", "/req"]), max_concurrent: Some(100), ..Ask::default() },
        operator: Operator {
            checklist: texts([
                "Allow204 is 1: as it comes every clean file is sent back whole.",
                "VirusNameICAPHeader and SendInfectionFound are set: all X- fields are off as it comes. A field name of your own goes into the profile.",
                "Rules for DETECT, MACRO, PHISHING, FAILED and NON_SCANNED set a response template.",
            ]),
            unseen: texts([
                "A rule of NONE for FAILED or NON_SCANNED answers as for a clean file.",
            ]),
        },
        ..profile("kaspersky-scan-engine", "Kaspersky Scan Engine")
    }
}

fn sophos() -> Profile {
    Profile {
        aliases: texts(["savdi", "sophos"]),
        marks: marks([
            ("Service", "sophos"),
            ("Server", "sophos"),
            ("X-HRESULT", ""),
            ("X-Blocked-By", "sophos"),
        ]),
        ask: Ask { paths: texts(["/respmod", "/avscan"]), ..Ask::default() },
        operator: Operator {
            checklist: texts(["The service in savdi.conf has the name in the path."]),
            unseen: texts([]),
        },
        ..profile("sophos-savdi", "Sophos SAVDI")
    }
}

fn eset() -> Profile {
    Profile {
        marks: marks([("Service", "eset"), ("Server", "eset")]),
        ask: Ask {
            paths: texts(["/scan", "/av_scan", "/avscan"]),
            directions: Cow::Borrowed(&[Direction::Download]),
            ..Ask::default()
        },
        operator: Operator {
            checklist: texts([
                "Ask with RESPMOD; the text in X-Virus-ID is a class of threats in the language of the server.",
            ]),
            unseen: texts([]),
        },
        ..profile("eset", "ESET Server Security and Gateway")
    }
}

fn f_secure() -> Profile {
    Profile {
        aliases: texts([
            "f-secure/withsecure",
            "f-secure",
            "fsecure",
            "withsecure",
            "withsecure/f-secure",
        ]),
        marks: marks([
            ("X-FSecure-Scan-Result", ""),
            ("Service", "f-secure"),
            ("Service", "withsecure"),
            ("Server", "f-secure"),
        ]),
        ask: Ask { paths: texts(["/respmod", "/respond"]), ..Ask::default() },
        ..profile("withsecure-icap", "F-Secure and WithSecure")
    }
}

fn bitdefender() -> Profile {
    Profile {
        marks: marks([("Service", "bitdefender"), ("Service-ID", "BDIS")]),
        ask: Ask { paths: texts(["/scan", "/respmod"]), ..Ask::default() },
        ..profile("bitdefender", "Bitdefender ICAP Server")
    }
}

fn dr_web() -> Profile {
    Profile {
        aliases: texts(["drweb", "drweb-icap", "dr.web", "dr-web"]),
        marks: marks([
            ("DrWeb-Get-Scan-Status", ""),
            ("Service", "dr.web"),
            ("Service", "drweb"),
            ("Server", "dr.web"),
            ("Server", "drweb"),
        ]),
        ask: Ask { paths: texts(["/respmod", "/reqmod"]), ..Ask::default() },
        read: Reading { violations: Violations::ScanErrors, ..Reading::default() },
        operator: Operator {
            checklist: texts(["Send X-Client-IP and X-Client-Username where rules go by user."]),
            unseen: texts([]),
        },
        ..profile("drweb-icapd", "Dr.Web ICAPD")
    }
}
