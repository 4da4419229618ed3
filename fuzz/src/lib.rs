//! What the fuzz targets share: input cut into pieces, and conversations written down so that they compare.

use icap_proto::{Error, HttpHead, Leniency, client, server};

/// Cuts the input in two at a place that the input itself names, so that the fuzzer can look for it.
pub fn halves(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, low], rest) = data.split_first_chunk::<2>()?;
    let at = usize::from(u16::from_be_bytes([high, low])) % (rest.len() + 1);
    Some(rest.split_at(at))
}

/// Strict for one half of the inputs, lenient for the other.
pub fn leniency(data: &[u8]) -> Leniency {
    match data.last() {
        Some(byte) if byte % 2 == 1 => Leniency::strict(),
        _ => Leniency::default(),
    }
}

/// What a peer said: heads and ends in order, the data between them as one piece however it arrived.
#[derive(Debug, Default, PartialEq)]
pub struct Script {
    pub lines: Vec<String>,
    data: Vec<u8>,
    pub error: Option<Error>,
}

impl Script {
    pub fn data(&mut self, data: &[u8]) {
        assert!(!data.is_empty(), "an empty piece of data");
        self.data.extend_from_slice(data);
    }

    pub fn line(&mut self, line: String) {
        if !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.lines.push(format!("data {data:?}"));
        }
        self.lines.push(line);
    }

    pub fn server_event(&mut self, event: server::Event) {
        match event {
            server::Event::Data(data) => self.data(&data),
            server::Event::Request(head) => {
                let sections = [head.http_request(), head.http_response()];
                self.line(format!("{} {} {:?}", head.method(), head.uri(), sections.map(verbatim)));
            }
            other => self.line(format!("{other:?}")),
        }
    }

    pub fn client_event(&mut self, event: client::Event) {
        match event {
            client::Event::Data(data) => self.data(&data),
            client::Event::Response(head) => {
                let sections = [head.http_request(), head.http_response()];
                self.line(format!("{} {:?}", head.status(), sections.map(verbatim)));
            }
            other => self.line(format!("{other:?}")),
        }
    }
}

fn verbatim(head: Option<&HttpHead>) -> Option<Vec<u8>> {
    head.map(|head| head.as_bytes().to_vec())
}
