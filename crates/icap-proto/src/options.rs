//! What a service can do: the answer to OPTIONS.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::allow::Allow;
use crate::error::Misuse;
use crate::headers::{InvalidHeader, unfold};
use crate::istag::IsTag;
use crate::method::Method;
use crate::response::ResponseHead;
use crate::status::StatusCode;
use crate::wire::class;

/// What a service offers (RFC 3507 section 4.10.2): written by servers in answer to OPTIONS, read by clients.
///
/// ```
/// use icap_proto::{IsTag, ServiceOptions};
///
/// let options = ServiceOptions::respmod("Scanner 1.0")?
///     .istag(IsTag::new("rules-7")?)
///     .preview(1024)
///     .allow_no_content();
/// let answer = options.to_response()?;
/// assert_eq!(answer.headers().get("Methods"), Some(&b"RESPMOD"[..]));
/// assert_eq!(ServiceOptions::from_response(&answer).preview_bytes(), Some(1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    methods: Vec<Method>,
    service: Option<String>,
    service_id: Option<String>,
    istag: Option<IsTag>,
    allow: Allow,
    preview: Option<u64>,
    ttl: Option<Duration>,
    max_connections: Option<u64>,
}

impl ServiceOptions {
    /// A service that adapts requests. `service` is a text for people (`Service`).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when the text holds a control character.
    pub fn reqmod(service: &str) -> Result<Self, InvalidHeader> {
        Self::new(service, Method::Reqmod)
    }

    /// A service that adapts responses. `service` is a text for people (`Service`).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when the text holds a control character.
    pub fn respmod(service: &str) -> Result<Self, InvalidHeader> {
        Self::new(service, Method::Respmod)
    }

    fn new(service: &str, method: Method) -> Result<Self, InvalidHeader> {
        if !class::is_value(service.as_bytes()) {
            return Err(InvalidHeader::Value);
        }
        Ok(Self { methods: [method].into(), service: Some(service.into()), ..Self::default() })
    }

    /// Reads an answer to OPTIONS. What is malformed counts as absent: the rest of the answer is of use.
    #[must_use]
    pub fn from_response(answer: &ResponseHead) -> Self {
        let headers = answer.headers();
        let number = |name| headers.get(name).and_then(class::decimal);
        let text = |name| {
            let text = unfold(headers.get(name)?);
            Some(String::from_utf8_lossy(&text).into_owned())
        };
        Self {
            methods: headers
                .get_all("Methods")
                .flat_map(class::list)
                .filter_map(Method::from_bytes)
                .collect(),
            service: text("Service"),
            // Squid and its followers write it without the hyphen.
            service_id: text("Service-ID").or_else(|| text("ServiceId")),
            istag: answer.istag(),
            allow: answer.allow(),
            preview: answer.preview(),
            ttl: number("Options-TTL").map(Duration::from_secs),
            max_connections: number("Max-Connections"),
        }
    }

    /// The answer to OPTIONS, with `Encapsulated: null-body=0`.
    ///
    /// A service that wants a preview says so for every file type (`Transfer-Preview: *`): without that line a
    /// client sends everything complete.
    ///
    /// # Errors
    ///
    /// [`Misuse::Composition`] without a method or without an ISTag; both are required.
    pub fn to_response(&self) -> Result<ResponseHead, Misuse> {
        let (Some(istag), false) = (&self.istag, self.methods.is_empty()) else {
            return Err(Misuse::Composition);
        };
        let methods: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        let mut fields: Vec<(&str, String)> = Vec::from([("Methods", methods.join(", "))]);
        if let Some(service) = &self.service {
            fields.push(("Service", service.clone()));
        }
        if let Some(id) = &self.service_id {
            fields.push(("Service-ID", id.clone()));
        }
        if let Some(ttl) = self.ttl {
            fields.push(("Options-TTL", alloc::format!("{}", ttl.as_secs())));
        }
        if let Some(connections) = self.max_connections {
            fields.push(("Max-Connections", alloc::format!("{connections}")));
        }
        if self.preview.is_some() {
            fields.push(("Transfer-Preview", "*".into()));
        }
        let mut builder =
            ResponseHead::builder(StatusCode::OK).istag(istag).allow(self.allow).null_body();
        if let Some(bytes) = self.preview {
            builder = builder.preview(bytes);
        }
        for (name, value) in fields {
            builder = builder.header(name, value).map_err(|_| Misuse::Composition)?;
        }
        builder.build()
    }

    /// Adds a method. One service for each method is the RFC's intent, lists are what products do.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        if !self.methods.contains(&method) {
            self.methods.push(method);
        }
        self
    }

    /// The state of the service; required.
    #[must_use]
    pub fn istag(mut self, tag: IsTag) -> Self {
        self.istag = Some(tag);
        self
    }

    /// Asks for a preview of up to this many bytes (RFC 3507 section 4.5).
    #[must_use]
    pub const fn preview(mut self, bytes: u64) -> Self {
        self.preview = Some(bytes);
        self
    }

    /// Offers 204 outside a preview to clients that allow it (RFC 3507 section 4.6).
    #[must_use]
    pub const fn allow_no_content(mut self) -> Self {
        self.allow.no_content = true;
        self
    }

    /// How long a client may rely on the answer, in whole seconds (`Options-TTL`).
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How many connections a client should keep to at most (`Max-Connections`).
    #[must_use]
    pub const fn max_connections(mut self, connections: u64) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// A short identifier of the service (`Service-ID`).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Value`] when it is no token.
    pub fn service_id(mut self, id: &str) -> Result<Self, InvalidHeader> {
        if !class::is_token(id.as_bytes()) {
            return Err(InvalidHeader::Value);
        }
        self.service_id = Some(id.into());
        Ok(self)
    }

    /// The methods offered.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whether the service takes this method. OPTIONS is taken by every service.
    #[must_use]
    pub fn has_method(&self, method: &Method) -> bool {
        *method == Method::Options || self.methods.contains(method)
    }

    /// The text for people.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The short identifier.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.service_id.as_deref()
    }

    /// The state of the service.
    #[must_use]
    pub const fn tag(&self) -> Option<&IsTag> {
        self.istag.as_ref()
    }

    /// What the service offers besides a 200.
    #[must_use]
    pub const fn allow(&self) -> Allow {
        self.allow
    }

    /// Preview bytes wanted, `None` for no preview.
    #[must_use]
    pub const fn preview_bytes(&self) -> Option<u64> {
        self.preview
    }

    /// How long the answer holds, `None` when the server does not say.
    #[must_use]
    pub const fn time_to_live(&self) -> Option<Duration> {
        self.ttl
    }

    /// How many connections the service wants at most.
    #[must_use]
    pub const fn connections(&self) -> Option<u64> {
        self.max_connections
    }
}
