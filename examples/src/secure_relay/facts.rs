//! Whose certificate it is, and how long it lasts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// What people want to know of a certificate.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    pub(crate) subject: String,
    /// Seconds of Unix time.
    pub(crate) not_before: i64,
    /// Seconds of Unix time.
    pub(crate) not_after: i64,
    until: String,
}

impl Facts {
    pub(crate) fn of(certificate: &CertificateDer<'static>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Self { subject: "an unreadable certificate".to_owned(), ..Self::default() };
        };
        let validity = certificate.validity();
        Self {
            subject: certificate.subject().to_string(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            until: validity.not_after.to_string(),
        }
    }

    /// Whole days to the end, less than 0 when it is over.
    pub(crate) fn days_left(&self) -> i64 {
        self.not_after.saturating_sub(now()).div_euclid(24 * 60 * 60)
    }

    /// Whether now is between its dates.
    pub(crate) fn is_valid_now(&self) -> bool {
        (self.not_before..=self.not_after).contains(&now())
    }

    /// What is worth a warning: not yet valid, expired, or less than `days` left.
    pub(crate) fn warning(&self, days: u32) -> Option<String> {
        if self.not_before > now() {
            return Some(format!("{self}: not valid yet; is the clock right?"));
        }
        match self.days_left() {
            left if left < 0 => Some(format!("{self}: EXPIRED")),
            left if left < i64::from(days) => Some(format!("{self}: {left} days left")),
            _ => None,
        }
    }
}

impl std::fmt::Display for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "certificate {} (until {})", self.subject, self.until)
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_near_their_end_are_told() {
        let at = |from: i64, to: i64| {
            let day = 24 * 60 * 60;
            let (not_before, not_after) = (now() + from * day, now() + to * day + 60);
            Facts { not_before, not_after, ..Facts::default() }
        };
        assert_eq!(at(-1, 30).warning(30), None);
        assert!(at(-1, 29).warning(30).unwrap().contains("29 days left"));
        assert!(at(-9, -1).warning(30).unwrap().contains("EXPIRED"));
        assert!(at(1, 90).warning(30).unwrap().contains("not valid yet"));
    }
}
