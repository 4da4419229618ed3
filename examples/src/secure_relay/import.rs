//! `import-stunnel`: services of a stunnel.conf as connections of this program.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use icap::ServiceUri;
use toml::Value;

/// Options of a service that say nothing the relay does not do anyway, and those of the whole program.
const WITHOUT_MEANING: [&str; 22] = [
    "chroot",
    "compression",
    "debug",
    "delay",
    "foreground",
    "fips",
    "iconactive",
    "iconerror",
    "iconidle",
    "log",
    "options",
    "output",
    "pid",
    "protocol_socket",
    "rndbytes",
    "rndfile",
    "service",
    "setgid",
    "setuid",
    "socket",
    "syslog",
    "taskbar",
];

/// Prints the configuration on stdout and what changes on stderr.
///
/// # Errors
///
/// What cannot be read, or is not stunnel's syntax; a file without a service.
pub(crate) fn run(file: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let imported = import(&text).with_context(|| file.display().to_string())?;
    print!("{}", imported.toml);
    for note in imported.notes {
        eprintln!("secure-relay: {note}");
    }
    Ok(())
}

#[derive(Debug)]
struct Imported {
    toml: String,
    notes: Vec<String>,
}

/// A section; the first one, without a name, has the global options.
#[derive(Debug, Default, Clone)]
struct Section {
    name: String,
    options: Vec<(String, String)>,
}

impl Section {
    /// The last value counts, as in stunnel; names of options have no case.
    fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().copied()
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let is_it = |(option, _): &&(String, String)| option.eq_ignore_ascii_case(name);
        self.options.iter().filter(is_it).map(|(_, value)| value.as_str()).collect()
    }

    fn is(&self, name: &str) -> bool {
        self.last(name).is_some_and(|value| value.eq_ignore_ascii_case("yes"))
    }
}

fn import(text: &str) -> anyhow::Result<Imported> {
    let (global, sections) = sections(text)?;
    ensure!(!sections.is_empty(), "no [service] in it");
    let mut toml =
        String::from("# Made from a stunnel configuration by `secure-relay import-stunnel`.\n");
    let mut notes = Vec::new();
    for section in &sections {
        // Options before the first section are the defaults of all.
        let options = global.options.iter().chain(&section.options).cloned().collect();
        let whole = Section { name: section.name.clone(), options };
        let mut said = Vec::new();
        let converted = convert(&whole, &mut said);
        let converted = converted.with_context(|| format!("[{}]", section.name))?;
        toml.push('\n');
        for note in &said {
            let _ = writeln!(toml, "# {note}");
        }
        toml.push_str(&converted);
        notes.extend(said.into_iter().map(|note| format!("[{}] {note}", section.name)));
    }
    Ok(Imported { toml, notes })
}

fn sections(text: &str) -> anyhow::Result<(Section, Vec<Section>)> {
    let mut global = Section::default();
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(Section { name: name.trim().to_owned(), ..Section::default() });
            continue;
        }
        let number = number.saturating_add(1);
        let (option, value) = line
            .split_once('=')
            .with_context(|| format!("line {number}: neither [service] nor option = value"))?;
        let section = sections.last_mut().unwrap_or(&mut global);
        section.options.push((option.trim().to_owned(), value.trim().to_owned()));
    }
    Ok((global, sections))
}

/// One service as a `[[connection]]`.
fn convert(section: &Section, notes: &mut Vec<String>) -> anyhow::Result<String> {
    let is_client = section.is("client");
    let accept = section.last("accept");
    if accept.is_none_or(str::is_empty) {
        notes.push("`accept` is not set: TLS on port 11344 of all addresses is assumed".to_owned());
    }
    let accept = address(accept.filter(|value| !value.is_empty()).unwrap_or("11344"))?;
    let scheme = if is_client { "icaps" } else { "icap" };
    let servers = section.all("connect").into_iter().map(|value| server(scheme, value));
    let servers = servers.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        !servers.is_empty(),
        "no `connect`: only services that connect to a server can be imported"
    );

    let mut out = Out(String::from("[[connection]]\n"));
    out.set("name", Value::from(section.name.as_str()));
    out.set(
        if is_client { "plain-listen" } else { "listen" },
        Value::from(vec![accept.to_string()]),
    );
    if speaks_icap(accept, &servers) {
        out.comment("Reads each message. \"tunnel\" passes bytes through unread, as stunnel does.");
        out.set("mode", Value::from("icap"));
    } else {
        out.comment(
            "No port of ICAP (1344, 11344). If it is ICAP all the same, \"icap\" reads each message and is better.",
        );
        out.set("mode", Value::from("tunnel"));
    }
    if is_client {
        client_role(section, &mut out, notes)?;
    } else {
        server_role(section, &mut out, notes)?;
    }
    let several = servers.len() > 1;
    match section.last("checkHost").filter(|_| is_client) {
        Some(name) => {
            let table = |uri: String| {
                Value::from(toml::Table::from_iter([
                    ("uri".to_owned(), Value::from(uri)),
                    ("tls-name".to_owned(), Value::from(name)),
                ]))
            };
            out.set("upstream", Value::from(servers.into_iter().map(table).collect::<Vec<_>>()));
        }
        None => out.set("upstream", Value::from(servers)),
    }
    if several {
        let is_priority =
            section.last("failover").is_some_and(|value| value.eq_ignore_ascii_case("prio"));
        out.set("balance", Value::from(if is_priority { "failover" } else { "round-robin" }));
    }
    for (option, key) in [
        ("TIMEOUTclose", "close-timeout"),
        ("TIMEOUTconnect", "connect-timeout"),
        ("TIMEOUTidle", "idle-timeout"),
    ] {
        if let Some(value) = section.last(option) {
            let seconds: u32 = value.parse().with_context(|| format!("{option} = {value}"))?;
            out.set(key, Value::from(i64::from(seconds)));
        }
    }
    notes.extend(unknown(section));
    Ok(out.0)
}

/// `client = no`: TLS comes in.
fn server_role(section: &Section, out: &mut Out, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let certificate = section.last("cert").context("no `cert`: who is the relay?")?;
    out.set("identity", Value::from(certificate));
    if let Some(key) = section.last("key").filter(|key| *key != certificate) {
        out.set("key", Value::from(key));
    }
    let Some(known) = section.last("CAfile") else {
        notes.push(
            "SAFER if you add it: there is no CAfile, so any client is served; `client-ca` names the certificate of \
             the cloud side"
                .to_owned(),
        );
        return Ok(());
    };
    let level = section.last("verify").map(str::parse::<u8>).transpose().context("verify")?;
    let pins = section.is("verifyPeer") || level.is_some_and(|level| level >= 3);
    let chains = section.is("verifyChain") || level == Some(2);
    if pins {
        out.set("pin-client", Value::from(known));
        if chains {
            notes.push(
                "verifyChain and verifyPeer together: the exact certificate is what counts here"
                    .to_owned(),
            );
        }
    } else {
        out.set("client-ca", Value::from(known));
    }
    if !pins && !chains {
        notes.push(
            "SAFER now: with CAfile alone stunnel accepts any client, even one without a certificate; here a client \
             has to show a certificate of that file or one issued by it"
                .to_owned(),
        );
    }
    Ok(())
}

/// `client = yes`: TLS goes out.
fn client_role(section: &Section, out: &mut Out, notes: &mut Vec<String>) -> anyhow::Result<()> {
    if section.is("verifyPeer") {
        bail!("client = yes with verifyPeer = yes: exact server certificates cannot be imported");
    }
    if let Some(known) = section.last("CAfile") {
        out.set("upstream-ca", Value::from(known));
    }
    if !section.is("verifyChain") {
        notes.push(
            "SAFER now: without verifyChain stunnel takes any server; here its certificate has to lead to upstream-ca \
             (or to a root of the system) and to have its name"
                .to_owned(),
        );
    } else if section.last("checkHost").is_none() {
        notes.push(
            "SAFER now: without checkHost stunnel takes any name; here the certificate has to have the name in the \
             URI, or that of `tls-name`"
                .to_owned(),
        );
    }
    if let Some(certificate) = section.last("cert") {
        out.set("upstream-identity", Value::from(certificate));
        if section.last("key").is_some_and(|key| key != certificate) {
            notes.push(
                "`key` is another file: put certificate and key into one for upstream-identity"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Options that are not carried over.
fn unknown(section: &Section) -> Option<String> {
    const KNOWN: [&str; 15] = [
        "accept",
        "connect",
        "cert",
        "key",
        "cafile",
        "verify",
        "verifypeer",
        "verifychain",
        "timeoutclose",
        "timeoutconnect",
        "timeoutidle",
        "client",
        "checkhost",
        "failover",
        "requirecert",
    ];
    let mut seen = HashSet::new();
    let names = section.options.iter().map(|(name, _)| name);
    let names = names.filter(|name| {
        let lower = name.to_ascii_lowercase();
        !KNOWN.contains(&lower.as_str())
            && !WITHOUT_MEANING.contains(&lower.as_str())
            && seen.insert(lower)
    });
    let names: Vec<_> = names.map(String::as_str).collect();
    (!names.is_empty()).then(|| format!("NOT carried over: {}", names.join(", ")))
}

/// By the ports, which are all that a stunnel.conf says of it.
fn speaks_icap(accept: SocketAddr, servers: &[String]) -> bool {
    let mut ports = servers.iter().filter_map(|uri| Some(uri.parse::<ServiceUri>().ok()?.port()));
    [1344, 11344].contains(&accept.port()) || ports.any(|port| [1344, 11344].contains(&port))
}

/// stunnel's `[host:]port` to listen on; a port alone is on all addresses.
fn address(text: &str) -> anyhow::Result<SocketAddr> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("0.0.0.0", text));
    let host = match host.trim_matches(['[', ']']) {
        "" | "*" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        host => host,
    };
    let host: IpAddr = host.parse().with_context(|| format!("accept = {text}: not an address"))?;
    let port = port.parse().with_context(|| format!("accept = {text}: not a port"))?;
    Ok(SocketAddr::new(host, port))
}

/// stunnel's `[host:]port` to connect to; a port alone is on this machine.
fn server(scheme: &str, text: &str) -> anyhow::Result<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let uri = match host.trim_matches(['[', ']']) {
        host if host.contains(':') => format!("{scheme}://[{host}]:{port}"),
        host => format!("{scheme}://{host}:{port}"),
    };
    let is_one = port.parse::<u16>().is_ok() && uri.parse::<ServiceUri>().is_ok();
    ensure!(is_one, "connect = {text}: not a host and a port");
    Ok(uri)
}

struct Out(String);

impl Out {
    fn set(&mut self, key: &str, value: Value) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure_relay::config::{Balance, Config, Connection, Mode};

    /// What the text becomes, after a round through our own parser.
    fn imported(text: &str) -> (Vec<Connection>, Vec<String>) {
        let imported = import(text).unwrap();
        let config = Config::parse(&imported.toml).unwrap_or_else(|error| panic!("{error}"));
        let connections = config.connections.into_iter().map(Connection::check);
        (connections.collect::<Result<_, _>>().unwrap(), imported.notes)
    }

    /// The published recipe for Linux, with the values that its page lost.
    const RECIPE: &str = "[microsoft-Cloud App Security]
accept = 0.0.0.0:11344
connect = 10.0.0.5:1344
cert = /etc/ssl/private/stunnel-key.pem
CAfile = /etc/ssl/certs/MCASCAfile.pem
TIMEOUTclose = 1
client = no
";

    #[test]
    fn the_published_recipe_becomes_one_that_verifies() {
        let (connections, notes) = imported(RECIPE);
        let connection = &connections[0];
        assert_eq!(connection.name, "microsoft-Cloud App Security");
        assert_eq!(connection.mode, Mode::Icap);
        assert_eq!(connection.listen, ["0.0.0.0:11344".parse().unwrap()]);
        assert_eq!(
            connection.upstream[0].uri.to_string().trim_end_matches('/'),
            "icap://10.0.0.5:1344"
        );
        assert_eq!(connection.identity, Some("/etc/ssl/private/stunnel-key.pem".into()));
        assert_eq!(connection.client_ca, Some("/etc/ssl/certs/MCASCAfile.pem".into()));
        assert_eq!(connection.close_timeout().as_secs(), 1);
        assert!(notes.len() == 1 && notes[0].contains("SAFER now"), "{notes:?}");
    }

    #[test]
    fn what_is_icap_by_its_port_is_read() {
        for (accept, connect, mode) in [
            ("11344", "10.0.0.5:1344", Mode::Icap),
            ("11344", "10.0.0.5:4000", Mode::Icap),
            ("4000", "10.0.0.5:1344", Mode::Icap),
            ("4000", "10.0.0.5:13440", Mode::Tunnel),
            ("443", "10.0.0.5:80", Mode::Tunnel),
        ] {
            let text = format!("[a]\naccept = {accept}\nconnect = {connect}\ncert = a.pem\n");
            assert_eq!(imported(&text).0[0].mode, mode, "{text}");
            // And how to have it otherwise.
            let other = if mode == Mode::Icap { "\"tunnel\"" } else { "\"icap\"" };
            assert!(import(&text).unwrap().toml.contains(other), "{text}");
        }
    }

    #[test]
    fn windows_paths_and_an_empty_accept_are_taken() {
        let text = "[cas]\r\naccept =\r\nconnect = 1344\r\n\
                    cert = C:\\Program Files (x86)\\stunnel\\config\\key.pem\r\nTIMEOUTclose = 0\r\n";
        let (connections, notes) = imported(text);
        let path = "C:\\Program Files (x86)\\stunnel\\config\\key.pem";
        assert_eq!(connections[0].identity, Some(path.into()));
        assert_eq!(connections[0].upstream[0].uri.host(), "127.0.0.1");
        assert_eq!(connections[0].close_timeout().as_secs(), 0);
        assert!(notes[0].contains("`accept`") && notes[1].contains("no CAfile"), "{notes:?}");
    }

    #[test]
    fn each_way_to_verify_has_its_own() {
        for (line, pins) in [
            ("verifyPeer = yes", true),
            ("verify = 3", true),
            ("verifyChain = yes", false),
            ("verify = 2", false),
        ] {
            let (connections, notes) = imported(&format!("{RECIPE}{line}\n"));
            assert_eq!(connections[0].pin_client.is_some(), pins, "{line}");
            assert_eq!(connections[0].client_ca.is_some(), !pins, "{line}");
            assert!(notes.is_empty(), "{notes:?}");
        }
        let (_, notes) = imported(&format!("{RECIPE}verify = 1\n"));
        assert!(notes[0].contains("SAFER now"), "{notes:?}");
    }

    #[test]
    fn globals_several_servers_and_several_services() {
        let text = "; comment\npid = /run/stunnel.pid\ncert = /etc/a.pem\nsni = x\n[one]\naccept = 127.0.0.1:1\n\
                    connect = a:1344\nconnect = [2001:db8::1]:1344\nCRLfile = /x\n[two]\naccept = :::2\n\
                    connect = b:1\nconnect = c:1\nfailover = prio\nkey = /etc/b.key\ncert = /etc/b.pem\n";
        let (connections, notes) = imported(text);
        assert_eq!(
            (connections[0].balance, connections[0].upstream.len()),
            (Balance::RoundRobin, 2)
        );
        assert_eq!(connections[0].upstream[1].uri.host(), "[2001:db8::1]");
        assert_eq!(connections[1].balance, Balance::Failover);
        assert_eq!(connections[1].key, Some("/etc/b.key".into()));
        assert_eq!(connections[1].listen, ["[::]:2".parse().unwrap()]);
        assert!(
            notes.iter().any(|note| note.contains("NOT carried over: sni, CRLfile")),
            "{notes:?}"
        );
    }

    #[test]
    fn the_client_role_goes_out_over_tls() {
        let text = "[out]\nclient = yes\naccept = 127.0.0.1:1344\nconnect = dlp.example:11344\nCAfile = /ca.pem\n\
                    verifyChain = yes\ncheckHost = icap.test\ncert = /me.pem\n";
        let (connections, notes) = imported(text);
        let connection = &connections[0];
        assert_eq!(connection.plain_listen, ["127.0.0.1:1344".parse().unwrap()]);
        assert!(connection.listen.is_empty() && connection.upstream[0].uri.is_secure());
        assert_eq!(connection.upstream[0].tls_name.as_deref(), Some("icap.test"));
        assert_eq!(connection.upstream_identity, Some("/me.pem".into()));
        assert!(notes.is_empty(), "{notes:?}");
        let (_, notes) = imported("[out]\nclient = yes\naccept = 1\nconnect = a:2\n");
        assert!(notes[0].contains("takes any server"), "{notes:?}");
    }

    #[test]
    fn what_cannot_be_imported_is_said() {
        for (text, word) in [
            ("", "no [service]"),
            ("[a]\nnonsense", "line 2"),
            ("[a]\naccept = 1\ncert = x\n", "no `connect`"),
            ("[a]\naccept = 1\nconnect = 2\n", "no `cert`"),
            ("[a]\naccept = x:1\nconnect = 2\ncert = x\n", "not an address"),
            ("[a]\naccept = 1\nconnect = /run/icap.sock\ncert = x\n", "not a host and a port"),
            (
                "[a]\nclient = yes\naccept = 1\nconnect = 2\nverifyPeer = yes\n",
                "cannot be imported",
            ),
        ] {
            let error = format!("{:#}", import(text).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
