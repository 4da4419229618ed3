//! What must hold of a head, whichever it is.

use icap_proto::{Leniency, Limits, ParseError, RequestHead, ResponseHead};

use crate::settings;

/// A head, whole or not there yet.
type Parsed<H> = Result<Option<(H, usize)>, ParseError>;

pub trait Head: Sized + std::fmt::Debug {
    fn parse(message: &[u8], limits: &Limits, leniency: &Leniency) -> Parsed<Self>;

    /// All that it says, byte for byte.
    fn text(&self) -> String;
}

impl Head for RequestHead {
    fn parse(message: &[u8], limits: &Limits, leniency: &Leniency) -> Parsed<Self> {
        Self::parse(message, limits, leniency)
    }

    fn text(&self) -> String {
        let sections = [self.http_request(), self.http_response()];
        let sections = sections.map(|section| section.map(|head| head.as_bytes().to_vec()));
        format!("{self:?} {:?} {sections:?}", self.headers().as_bytes())
    }
}

impl Head for ResponseHead {
    fn parse(message: &[u8], limits: &Limits, leniency: &Leniency) -> Parsed<Self> {
        Self::parse(message, limits, leniency)
    }

    fn text(&self) -> String {
        let sections = [self.http_request(), self.http_response()];
        let sections = sections.map(|section| section.map(|head| head.as_bytes().to_vec()));
        format!("{self:?} {:?} {sections:?}", self.headers().as_bytes())
    }
}

/// Holds the parser to its rules for one input, under all settings.
pub fn check<H: Head>(data: &[u8]) {
    let all = settings::modes().map(|leniency| check_mode::<H>(data, &leniency));
    let [strict, lenient, everything] = all;
    if strict.is_some() {
        assert_eq!(strict, lenient, "strict takes what lenient does not");
        assert_eq!(strict, everything, "strict takes what the opt-in switches do not");
    }
}

/// What was parsed, as text, and its length.
fn check_mode<H: Head>(data: &[u8], leniency: &Leniency) -> Option<(String, usize)> {
    let (wide, tight) = (Limits::default(), settings::tight());
    let parsed = H::parse(data, &wide, leniency);
    let narrow = H::parse(data, &tight, leniency);
    if let Ok(Some((head, size))) = &narrow {
        let (other, other_size) = parsed.as_ref().expect("wider limits").as_ref().expect("whole");
        assert_eq!((head.text(), size), (other.text(), other_size), "limits change the meaning");
    }
    if let (Ok(None), true) = (&narrow, data.len() > tight.head_bytes + tight.encapsulated_bytes) {
        panic!("waits for more than the limits allow");
    }
    check_narrow(data, &narrow);
    match parsed {
        Err(error) => {
            assert!(error.offset <= data.len() as u64, "{error} of {}", data.len());
            // What comes behind a fault changes nothing of it.
            for more in [&b"\r\n\r\n"[..], b"x", b"\n"] {
                let again = H::parse(&[data, more].concat(), &wide, leniency);
                assert_eq!(again.err(), Some(error), "a fault with {more:?} behind it");
            }
            None
        }
        Ok(None) => None,
        Ok(Some((head, size))) => {
            let text = head.text();
            assert!(size <= data.len());
            for more in [&b""[..], b"\r\n", b"0; ieof\r\n\r\n", b"\0"] {
                let message = [&data[..size], more].concat();
                let again = H::parse(&message, &wide, leniency).expect("good").expect("whole");
                assert_eq!((again.0.text(), again.1), (text.clone(), size), "with {more:?} behind");
            }
            for prefix in settings::prefixes(size) {
                let early = H::parse(&data[..prefix], &wide, leniency);
                assert!(matches!(early, Ok(None)), "{prefix} of {size}: {early:?}");
            }
            Some((text, size))
        }
    }
}

fn check_narrow<H: Head>(data: &[u8], narrow: &Parsed<H>) {
    if let Err(error) = narrow {
        assert!(error.offset <= data.len() as u64, "{error} of {}", data.len());
    }
}
