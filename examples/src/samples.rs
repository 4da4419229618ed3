//! The files the demonstration sends through a service, with the decision each should meet.

use std::fmt;

use bytes::Bytes;

use crate::engine;

/// A file and what should become of it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Sample {
    /// The file's name, fit for the last segment of a URL.
    pub name: &'static str,
    /// Its media type, for a `Content-Type` field.
    pub content_type: &'static str,
    /// Its content. It is part of the program, so a clone copies nothing.
    pub bytes: Bytes,
    /// What the default rules decide about it.
    pub expected: Expected,
}

impl fmt::Debug for Sample {
    /// Gives the length of the content in its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("name", &self.name)
            .field("content_type", &self.content_type)
            .field("bytes", &self.bytes.len())
            .field("expected", &self.expected)
            .finish()
    }
}

/// What should become of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a file passes or it does not")]
pub enum Expected {
    /// It passes unchanged.
    Allow,
    /// It is kept back.
    Block,
}

/// Every sample: the three that are clean first, then the two that are not.
///
/// All but one are files of the folder `samples`. The EICAR test string is made in code, since a
/// file of it would be taken away by the virus scanner of whoever checks the repository out.
#[must_use]
pub fn all() -> Vec<Sample> {
    vec![
        Sample {
            name: "clean.txt",
            content_type: "text/plain; charset=utf-8",
            bytes: Bytes::from_static(include_bytes!("../samples/clean.txt")),
            expected: Expected::Allow,
        },
        Sample {
            name: "report.pdf",
            content_type: "application/pdf",
            bytes: Bytes::from_static(include_bytes!("../samples/report.pdf")),
            expected: Expected::Allow,
        },
        Sample {
            name: "archive.zip",
            content_type: "application/zip",
            bytes: Bytes::from_static(include_bytes!("../samples/archive.zip")),
            expected: Expected::Allow,
        },
        Sample {
            name: "eicar.com",
            content_type: "application/octet-stream",
            bytes: eicar(),
            expected: Expected::Block,
        },
        Sample {
            name: "customers.csv",
            content_type: "text/csv; charset=utf-8",
            bytes: Bytes::from_static(include_bytes!("../samples/customers.csv")),
            expected: Expected::Block,
        },
    ]
}

/// The EICAR test file: the 68 bytes of the test string and nothing else.
#[must_use]
pub fn eicar() -> Bytes {
    Bytes::from(engine::eicar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn the_default_rules_decide_as_expected() {
        for sample in all() {
            let finding = Engine::new().scan_all(&sample.bytes);
            assert_eq!(
                finding.is_some(),
                sample.expected == Expected::Block,
                "{sample:?}: {finding:?}"
            );
        }
    }

    #[test]
    fn the_files_are_what_they_are_called() {
        let samples = all();
        let named = |name| samples.iter().find(|sample| sample.name == name).unwrap();
        assert!(named("report.pdf").bytes.starts_with(b"%PDF-1.4\n"));
        assert!(named("report.pdf").bytes.ends_with(b"%%EOF\n"));
        assert!(named("archive.zip").bytes.starts_with(b"PK\x03\x04"));
        assert!(named("archive.zip").bytes.len() > 2_000_000);
        assert_eq!(named("eicar.com").bytes.len(), 68);
        // A checkout that converts line ends would break the PDF's table of offsets.
        for sample in ["clean.txt", "customers.csv", "report.pdf"] {
            assert!(!named(sample).bytes.contains(&b'\r'), "{sample}");
        }
    }
}
