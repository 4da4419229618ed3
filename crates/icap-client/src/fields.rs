//! Fields for the ICAP head of a request.

use icap_proto::{Headers, InvalidHeader, RequestBuilder};
#[cfg(feature = "identity")]
use icap_proto::{Identity, ServiceOptions};

pub(crate) const CREDENTIALS: &str = "Proxy-Authorization";
/// The field that answers a 401.
pub(crate) const ORIGIN_CREDENTIALS: &str = "Authorization";

/// Fields for an ICAP head. The first that cannot be sent is remembered, so that adding one needs no `Result`
/// that would take the message with it.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    valid: Headers,
    invalid: Option<InvalidHeader>,
    /// What came in the HTTP head. The user's `Proxy-Authorization` stands in the same field as that of this client
    /// and gives way to it: two would be none to the server (RFC 3507 sections 4.4.2 and 7.1).
    forwarded: Headers,
    /// Who sent the message.
    #[cfg(feature = "identity")]
    pub(crate) identity: Option<Identity>,
}

impl Fields {
    pub(crate) const NONE: Self = Self {
        valid: Headers::new(),
        invalid: None,
        forwarded: Headers::new(),
        #[cfg(feature = "identity")]
        identity: None,
    };

    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        if let Err(error) = self.valid.append(name, value) {
            self.invalid.get_or_insert(error);
        }
    }

    pub(crate) fn forward(&mut self, fields: &Headers) {
        for field in fields.iter() {
            if let Err(error) = self.forwarded.append(field.name, field.value) {
                self.invalid.get_or_insert(error);
            }
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.valid.get(name).is_some()
    }

    /// Whether the caller gave credentials for the ICAP server.
    pub(crate) fn has_credentials(&self) -> bool {
        self.has(CREDENTIALS) || self.has(ORIGIN_CREDENTIALS)
    }

    /// Adds the fields to a request that has credentials for the ICAP server already, or has none.
    pub(crate) fn apply(
        &self,
        request: RequestBuilder,
        has_credentials: bool,
    ) -> Result<RequestBuilder, InvalidHeader> {
        if let Some(error) = self.invalid {
            return Err(error);
        }
        let request = request.headers(&self.valid)?;
        if self.forwarded.is_empty() {
            return Ok(request);
        }
        let mut forwarded = self.forwarded.clone();
        if has_credentials || self.has(CREDENTIALS) {
            forwarded.remove(CREDENTIALS);
        }
        request.headers(&forwarded)
    }

    /// Says who sent the message, as far as the service asks for it.
    #[cfg(feature = "identity")]
    pub(crate) fn identify(
        &self,
        request: RequestBuilder,
        known: Option<&ServiceOptions>,
    ) -> Result<RequestBuilder, InvalidHeader> {
        let Some(identity) = &self.identity else { return Ok(request) };
        match known.filter(|options| !options.included().is_empty()) {
            Some(options) => identity.requested_by(options).add_to(request),
            None => identity.add_to(request),
        }
    }
}
