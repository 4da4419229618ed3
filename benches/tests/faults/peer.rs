//! A client that does what a test says, right or wrong.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use icap_proto::wire::chunk::{ChunkDecoder, Part};
use icap_proto::{Leniency, Limits, ResponseHead};
use socket2::{Domain, SockRef, Socket, Type};

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
pub(crate) const LAST: &[u8] = b"0\r\n\r\n";

/// Longer than anything that a server may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// RESPMOD to `/echo` up to the body.
pub(crate) fn head(fields: &str) -> Vec<u8> {
    format!(
        "RESPMOD icap://s/echo ICAP/1.0\r\nHost: s\r\n{fields}Encapsulated: res-hdr=0, res-body={}\r\n\r\n{PAGE}",
        PAGE.len(),
    )
    .into()
}

pub(crate) fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// The whole request.
pub(crate) fn request(fields: &str, body: &[u8]) -> Vec<u8> {
    [&head(fields)[..], &chunk(body), LAST].concat()
}

pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// Connects from an address of its own, by which the log is told what it did: a port would soon be that of another.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self::connect_with(addr, |_| ())
    }

    /// Connects with a receive buffer of a few KiB that does not grow: a peer that reads nothing is full at once. The
    /// usual one takes a trickle for seconds, and to the server each of its bytes is one that the peer took.
    pub(crate) fn connect_narrow(addr: SocketAddr) -> Self {
        Self::connect_with(addr, |socket| socket.set_recv_buffer_size(4096).unwrap())
    }

    fn connect_with(addr: SocketAddr, set: impl FnOnce(&Socket)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0x7f01_0001);
        let source = Ipv4Addr::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        set(&socket);
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&addr.into()).unwrap();
        let io = TcpStream::from(socket);
        io.set_nodelay(true).unwrap();
        io.set_read_timeout(Some(PATIENCE)).unwrap();
        io.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(io)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Reads a head without a body, such as 100 Continue.
    pub(crate) fn read_head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        head
    }

    /// What comes until the server closes, or resets the connection. It has to do one of them.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.0.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server does not close: {error}, {} bytes", all.len()),
        }
        all
    }

    pub(crate) fn half_close(&self) {
        // Fails where the server was faster.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `None` when it was cut off.
    pub(crate) body: Option<Vec<u8>>,
}

impl Answer {
    /// Whether a client would take it for the message it sent.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.status, 200..=299) && self.body.is_some()
    }
}

/// All answers in these bytes, 100 Continue left out.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Answer> {
    let (limits, leniency) = (Limits::default(), Leniency::strict());
    let mut input = BytesMut::from(bytes);
    let mut answers = Vec::new();
    while let Some((head, size)) = ResponseHead::parse(&input, &limits, &leniency).unwrap() {
        let _ = input.split_to(size);
        let body = if head.has_body() { body(&mut input) } else { Some(Vec::new()) };
        if head.status().as_u16() != 100 {
            answers.push(Answer { status: head.status().as_u16(), body });
        }
    }
    answers
}

fn body(input: &mut BytesMut) -> Option<Vec<u8>> {
    let mut decoder = ChunkDecoder::default();
    let mut body = Vec::new();
    loop {
        match decoder.decode(input, &Limits::default(), &Leniency::strict()).unwrap()? {
            Part::Data(data) => body.extend_from_slice(&data),
            _ => return Some(body),
        }
    }
}
