//! The PROXY protocol: what a load balancer says before the client's first byte.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header of version 1, with its CRLF.
const MAX_V1: usize = 107;

/// The longest header of version 2 that is taken: addresses and a few additions (TLS, identifiers).
const MAX_V2: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Reads a header of version 1 or 2 and not a byte more.
///
/// # Returns
///
/// The client, or `None` when the proxy speaks for itself (a health check) or does not know.
///
/// # Errors
///
/// No header, one that is broken or too long, and what reading says.
pub(crate) async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE {
        read_v2(stream, &mut header).await?;
    } else if header.starts_with(b"PROXY ") {
        read_v1(stream, &mut header).await?;
    } else {
        return Err(invalid("no PROXY header"));
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(v4) => Some(address(v4.source_address, v4.source_port)),
            v1::Addresses::Tcp6(v6) => Some(address(v6.source_address, v6.source_port)),
            v1::Addresses::Unknown => None,
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (v2::Command::Proxy, v2::Addresses::IPv4(v4)) => {
                Some(address(v4.source_address, v4.source_port))
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(v6)) => {
                Some(address(v6.source_address, v6.source_port))
            }
            _ => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(invalid("broken PROXY header")),
    }
}

async fn read_v2<R: AsyncRead + Unpin>(stream: &mut R, header: &mut Vec<u8>) -> io::Result<()> {
    let mut rest = [0; 4];
    stream.read_exact(&mut rest).await?;
    header.extend(rest);
    let [_, _, high, low] = rest;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = header.len().saturating_add(length);
    if whole > MAX_V2 {
        return Err(invalid("PROXY header too long"));
    }
    let read = header.len();
    header.resize(whole, 0);
    stream.read_exact(header.get_mut(read..).unwrap_or_default()).await?;
    Ok(())
}

async fn read_v1<R: AsyncRead + Unpin>(stream: &mut R, header: &mut Vec<u8>) -> io::Result<()> {
    while !header.ends_with(b"\r\n") {
        if header.len() >= MAX_V1 {
            return Err(invalid("PROXY header too long"));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(())
}

fn address(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(bytes: &[u8]) -> (Result<Option<String>, String>, usize) {
        let mut rest = bytes;
        let result = read(&mut rest).await;
        let result = result.map(|source| source.map(|address| address.to_string()));
        (result.map_err(|error| error.to_string()), rest.len())
    }

    fn v2(command: u8, family: u8, length: u16, addresses: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[0x20 | command, family], &length.to_be_bytes(), addresses].concat()
    }

    #[tokio::test]
    async fn both_versions_give_the_source_and_leave_what_follows() {
        let addresses = [192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0x2c, 0x50];
        let v2 = [v2(1, 0x11, 12, &addresses), b"hello".to_vec()].concat();
        for (header, source) in [
            (&b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 11344\r\nhello"[..], "192.0.2.7:12345"),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 11344\r\nhello", "[2001:db8::7]:12345"),
            (&v2, "192.0.2.7:12345"),
        ] {
            assert_eq!(of(header).await, (Ok(Some(source.to_owned())), 5));
        }
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        assert_eq!(of(b"PROXY UNKNOWN\r\nhello").await, (Ok(None), 5));
        assert_eq!(of(&[v2(0, 0, 0, b""), b"hello".to_vec()].concat()).await, (Ok(None), 5));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}", "1".repeat(MAX_V1));
        for (bytes, word) in [
            (&b"OPTIONS icap://a/ ICAP/1.0\r\n"[..], "no PROXY"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", "no PROXY"),
            (b"PROXY TCP4 1.2.3.4\r\n", "broken"),
            (long.as_bytes(), "too long"),
            (&v2(1, 0x11, 4081, &[0; 5000]), "too long"),
            (&v2(1, 0x11, 3, &[0; 3]), "broken"),
            (b"PROXY", "early eof"),
        ] {
            let error = of(bytes).await.0.unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(of(&v2(1, 0, 4080, &[0; 4080])).await.0, Ok(None));
    }
}
