//! What a service can do: the answer to OPTIONS.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::allow::Allow;
use crate::encapsulated::Entity;
use crate::error::Misuse;
use crate::headers::{InvalidHeader, unfold};
use crate::istag::IsTag;
use crate::method::Method;
use crate::response::{ResponseBuilder, ResponseHead};
use crate::status::StatusCode;
use crate::transfer::{Transfer, TransferRules};
use crate::wire::class;

/// Fields that RFC 3507 itself gives a meaning: `X-Include` may not ask for them.
const STANDARD: [&str; 28] = [
    "Allow",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Date",
    "Encapsulated",
    "Expires",
    "From",
    "Host",
    "ISTag",
    "Max-Connections",
    "Methods",
    "Opt-body-type",
    "Options-TTL",
    "Pragma",
    "Preview",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Referer",
    "Server",
    "Service",
    "Service-ID",
    "Trailer",
    "Transfer-Complete",
    "Transfer-Ignore",
    "Transfer-Preview",
    "Upgrade",
    "User-Agent",
];

/// What a service offers (RFC 3507 section 4.10.2): written by servers in answer to OPTIONS, read by clients.
///
/// There is no `Date` in it: the core has no clock, and clients count `Options-TTL` from when the answer arrived.
///
/// ```
/// use icap_proto::{Allow, IsTag, ServiceOptions};
///
/// let options = ServiceOptions::respmod("Scanner 1.0")?
///     .istag(IsTag::new("rules-7")?)
///     .preview(1024)
///     .allow_no_content();
/// let answer = options.to_response(Allow::default())?;
/// assert_eq!(answer.headers().get("Methods"), Some(&b"RESPMOD"[..]));
/// assert_eq!(ServiceOptions::from_response(&answer).preview_bytes(), Some(1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A clone shares what it was cloned from until it is changed: a server asks for it with every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceOptions {
    offer: Arc<Offer>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Offer {
    methods: Vec<Method>,
    service: Option<String>,
    service_id: Option<String>,
    istag: Option<IsTag>,
    allow: Allow,
    preview: Option<u64>,
    ttl: Option<Duration>,
    max_connections: Option<u64>,
    transfer: Option<TransferRules>,
    include: Vec<String>,
    opt_body_type: Option<String>,
}

impl From<Offer> for ServiceOptions {
    fn from(offer: Offer) -> Self {
        Self { offer: Arc::new(offer) }
    }
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
        let methods = [method].into();
        Ok(Offer { methods, service: Some(service.into()), ..Offer::default() }.into())
    }

    /// Reads an answer to OPTIONS. What is malformed counts as absent: the rest of the answer is of use. So does
    /// `Max-Connections: 0`, which would forbid what the answer offers.
    ///
    /// An answer with another status than 200 offers nothing; whoever asks looks at the status first.
    #[must_use]
    pub fn from_response(answer: &ResponseHead) -> Self {
        let headers = answer.headers();
        let number = |name| headers.get(name).and_then(class::decimal);
        let text = |name| {
            let text = unfold(headers.get(name)?);
            Some(String::from_utf8_lossy(&text).into_owned())
        };
        let include = headers.list("X-Include").filter(|name| class::is_token(name));
        let opt_body = answer
            .encapsulated()
            .is_some_and(|list| list.entries().any(|(entity, _)| entity == Entity::OptBody));
        Offer {
            methods: headers.list("Methods").filter_map(Method::from_bytes).collect(),
            service: text("Service"),
            // Squid and its followers write it without the hyphen.
            service_id: text("Service-ID").or_else(|| text("ServiceId")),
            istag: answer.istag(),
            allow: answer.allow(),
            preview: answer.preview(),
            ttl: number("Options-TTL").map(Duration::from_secs),
            max_connections: number("Max-Connections").filter(|&number| number > 0),
            transfer: TransferRules::from_headers(headers),
            include: include.map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
            opt_body_type: text("Opt-body-type").filter(|_| opt_body),
        }
        .into()
    }

    /// The answer to an OPTIONS request with this `Allow`, with `Encapsulated: null-body=0`.
    ///
    /// 206 and trailers are offered to clients that listed them, and to no others
    /// (draft-icap-ext-partial-content section 4.1, draft-rousskov-icap-trailers section 8); 204 is offered to all.
    /// `OPTIONS` is never among the methods, and no [`opt_body_type`](Self::opt_body_type) is written, since there
    /// is no such body.
    ///
    /// # Errors
    ///
    /// [`Misuse::Composition`] without a method or without an ISTag; both are required.
    pub fn to_response(&self, asked: Allow) -> Result<ResponseHead, Misuse> {
        self.builder(asked)?.null_body().build()
    }

    /// The same for an answer with an `opt-body` of this type, which the caller sends behind it.
    ///
    /// # Errors
    ///
    /// As [`to_response`](Self::to_response), and for a type that cannot stand in a field line.
    pub fn to_response_with_opt_body(
        &self,
        asked: Allow,
        opt_body_type: &str,
    ) -> Result<ResponseHead, Misuse> {
        let builder = self.builder(asked)?;
        builder.opt_body(opt_body_type).map_err(|_| Misuse::Composition)?.build()
    }

    fn builder(&self, asked: Allow) -> Result<ResponseBuilder, Misuse> {
        let methods = self.offer.methods.iter().filter(|method| **method != Method::Options);
        let methods: Vec<&str> = methods.map(Method::as_str).collect();
        let (Some(istag), false) = (&self.offer.istag, methods.is_empty()) else {
            return Err(Misuse::Composition);
        };
        let mut fields: Vec<(&str, String)> = Vec::from([("Methods", methods.join(", "))]);
        if let Some(service) = &self.offer.service {
            fields.push(("Service", service.clone()));
        }
        if let Some(id) = &self.offer.service_id {
            fields.push(("Service-ID", id.clone()));
        }
        if let Some(ttl) = self.offer.ttl {
            fields.push(("Options-TTL", alloc::format!("{}", ttl.as_secs())));
        }
        if let Some(connections) = self.offer.max_connections {
            fields.push(("Max-Connections", alloc::format!("{connections}")));
        }
        fields.extend(self.offer.transfer.iter().flat_map(TransferRules::fields));
        if !self.offer.include.is_empty() {
            fields.push(("X-Include", self.offer.include.join(", ")));
        }
        let allow = Allow {
            no_content: self.offer.allow.no_content,
            partial_content: self.offer.allow.partial_content && asked.partial_content,
            trailers: self.offer.allow.trailers && asked.trailers,
        };
        let mut builder = ResponseHead::builder(StatusCode::OK).istag(istag).allow(allow);
        if let Some(bytes) = self.offer.preview {
            builder = builder.preview(bytes);
        }
        for (name, value) in fields {
            builder = builder.header(name, value).map_err(|_| Misuse::Composition)?;
        }
        Ok(builder)
    }

    fn edit(&mut self) -> &mut Offer {
        Arc::make_mut(&mut self.offer)
    }

    /// Adds a method. One service for each method is the RFC's intent, lists are what products do. OPTIONS is taken
    /// by every service and may not be listed, so it is not.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        if method != Method::Options && !self.offer.methods.contains(&method) {
            self.edit().methods.push(method);
        }
        self
    }

    /// The state of the service; required.
    #[must_use]
    pub fn istag(mut self, tag: IsTag) -> Self {
        self.edit().istag = Some(tag);
        self
    }

    /// Asks for a preview of up to this many bytes (RFC 3507 section 4.5), of every file unless
    /// [`transfer`](Self::transfer) says otherwise: without such a rule (`Transfer-Preview: *`) clients send
    /// everything whole.
    #[must_use]
    pub fn preview(mut self, bytes: u64) -> Self {
        let offer = self.edit();
        offer.preview = Some(bytes);
        offer.transfer.get_or_insert(TransferRules::new(Transfer::Preview));
        self
    }

    /// Says which files come with a preview, whole, or not at all.
    #[must_use]
    pub fn transfer(mut self, rules: TransferRules) -> Self {
        self.edit().transfer = Some(rules);
        self
    }

    /// Asks clients for a field of their requests, such as `X-Client-IP` (`X-Include`,
    /// draft-stecher-icap-subid section 5.1).
    ///
    /// # Errors
    ///
    /// [`InvalidHeader::Name`] when it is no token, [`InvalidHeader::Reserved`] for the fields of RFC 3507, which
    /// may not be asked for.
    pub fn include(mut self, name: &str) -> Result<Self, InvalidHeader> {
        if !class::is_token(name.as_bytes()) {
            return Err(InvalidHeader::Name);
        }
        if STANDARD.iter().any(|standard| standard.eq_ignore_ascii_case(name)) {
            return Err(InvalidHeader::Reserved);
        }
        if !self.includes(name) {
            self.edit().include.push(name.into());
        }
        Ok(self)
    }

    /// Offers 204 outside a preview to clients that allow it (RFC 3507 section 4.6).
    #[must_use]
    pub fn allow_no_content(mut self) -> Self {
        self.edit().allow.no_content = true;
        self
    }

    /// Offers 206 to clients that allow it (draft-icap-ext-partial-content).
    #[must_use]
    pub fn allow_partial_content(mut self) -> Self {
        self.edit().allow.partial_content = true;
        self
    }

    /// Offers ICAP trailers to clients that allow them (draft-rousskov-icap-trailers).
    #[must_use]
    pub fn allow_trailers(mut self) -> Self {
        self.edit().allow.trailers = true;
        self
    }

    /// How long a client may rely on the answer, in whole seconds (`Options-TTL`).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.edit().ttl = Some(ttl);
        self
    }

    /// How many connections a client should keep to at most (`Max-Connections`). 0 sets no bound, as it is read.
    #[must_use]
    pub fn max_connections(mut self, connections: u64) -> Self {
        self.edit().max_connections = if connections > 0 { Some(connections) } else { None };
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
        self.edit().service_id = Some(id.into());
        Ok(self)
    }

    /// The methods offered.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.offer.methods
    }

    /// Whether the service takes this method. OPTIONS is taken by every service.
    #[must_use]
    pub fn has_method(&self, method: &Method) -> bool {
        *method == Method::Options || self.offer.methods.contains(method)
    }

    /// The text for people.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.offer.service.as_deref()
    }

    /// The short identifier.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.offer.service_id.as_deref()
    }

    /// The state of the service.
    #[must_use]
    pub fn tag(&self) -> Option<&IsTag> {
        self.offer.istag.as_ref()
    }

    /// What the service offers besides a 200.
    #[must_use]
    pub fn allow(&self) -> Allow {
        self.offer.allow
    }

    /// Preview bytes wanted, `None` for no preview.
    #[must_use]
    pub fn preview_bytes(&self) -> Option<u64> {
        self.offer.preview
    }

    /// How long the answer holds, `None` when the server does not say.
    #[must_use]
    pub fn time_to_live(&self) -> Option<Duration> {
        self.offer.ttl
    }

    /// How many connections the service wants at most.
    #[must_use]
    pub fn connections(&self) -> Option<u64> {
        self.offer.max_connections
    }

    /// Which files the service wants how, `None` when it does not say.
    #[must_use]
    pub fn transfer_rules(&self) -> Option<&TransferRules> {
        self.offer.transfer.as_ref()
    }

    /// How the file of this URL or path is to be sent. Whole when the service does not say, and also where it wants
    /// a preview but gives no [`preview_bytes`](Self::preview_bytes).
    #[must_use]
    pub fn transfer_for(&self, path: &str) -> Transfer {
        let transfer = self.offer.transfer.as_ref().map(|rules| rules.for_path(path));
        match transfer.unwrap_or(Transfer::Complete) {
            Transfer::Preview if self.offer.preview.is_none() => Transfer::Complete,
            transfer => transfer,
        }
    }

    /// The fields that the service asks clients for (`X-Include`). A client ignores names that it does not know.
    #[must_use]
    pub fn included(&self) -> &[String] {
        &self.offer.include
    }

    /// Whether the service asks for this field.
    #[must_use]
    pub fn includes(&self, name: &str) -> bool {
        self.offer.include.iter().any(|included| included.eq_ignore_ascii_case(name))
    }

    /// What the body of the answer is (`Opt-body-type`), `None` when the answer has none. A body of an unknown type
    /// is read and thrown away. One type is known: `Attribute-List` (draft-stecher-icap-subid section 5.2).
    #[must_use]
    pub fn opt_body_type(&self) -> Option<&str> {
        self.offer.opt_body_type.as_deref()
    }
}
