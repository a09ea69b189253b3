//! A connection's bytes before the protocol sees them: frames are admitted by their stated lengths, and a peer that leaves is noticed
//! while its question runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// The longest message of somebody who has logged in: a question has at most 64 KiB, its parameters the rest.
pub const MAX_MESSAGE: usize = 1 << 20;
/// The longest before.
pub const MAX_LOGIN_MESSAGE: usize = 10_000;
/// What is read ahead.
const AHEAD: usize = 64 << 10;
/// How long what follows a refused message is thrown away, so that the peer reads why before the connection breaks.
const DRAIN: Duration = Duration::from_secs(3);

/// A plain or encrypted stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// What the protocol reads and writes.
pub type Line = tokio::io::Join<DuplexStream, WriteHalf<Box<dyn Stream>>>;

/// How the peer's side stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// It may say more.
    There,
    /// It closed the connection, or it broke.
    Gone,
    /// It announced a message that is too long, or of no length a message can have.
    TooLong,
}

/// What a connection begins with.
pub struct Opened {
    /// The stream, encrypted if the peer asked for it.
    pub stream: Box<dyn Stream>,
    /// Is it?
    pub encrypted: bool,
    /// What was read of the first message.
    pub read: [u8; 8],
}

/// Answers requests for encryption, until the first message begins.
///
/// # Errors
/// A broken connection, and one whose TLS handshake fails.
pub async fn open(mut stream: TcpStream, tls: Option<&TlsAcceptor>) -> io::Result<Opened> {
    stream.set_nodelay(true)?;
    let mut read = [0; 8];
    // Each kind once, and then something else.
    for _ in 0..3 {
        stream.read_exact(&mut read).await?;
        match (read, tls) {
            (SSL_REQUEST, Some(tls)) => {
                stream.write_all(b"S").await?;
                let mut stream: Box<dyn Stream> = Box::new(tls.accept(stream).await?);
                stream.read_exact(&mut read).await?;
                return Ok(Opened { stream, encrypted: true, read });
            }
            (SSL_REQUEST | GSS_REQUEST, _) => stream.write_all(b"N").await?,
            _ => return Ok(Opened { stream: Box::new(stream), encrypted: false, read }),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// A stream whose frames are watched; `known`: the peer has logged in.
pub fn watched(opened: Opened, known: Arc<AtomicBool>) -> (Line, watch::Receiver<Peer>) {
    let (reader, writer) = tokio::io::split(opened.stream);
    let (out, within) = tokio::io::duplex(AHEAD);
    let (tell, peer) = watch::channel(Peer::There);
    tokio::spawn(pump(reader, within, opened.read, known, tell));
    (tokio::io::join(out, writer), peer)
}

/// Carries bytes until the peer or the protocol leaves.
async fn pump(
    mut from: ReadHalf<Box<dyn Stream>>,
    mut to: DuplexStream,
    first: [u8; 8],
    known: Arc<AtomicBool>,
    tell: watch::Sender<Peer>,
) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; 8 << 10];
    buffer[..8].copy_from_slice(&first);
    let mut read = 8;
    loop {
        let most = if known.load(Ordering::Relaxed) { MAX_MESSAGE } else { MAX_LOGIN_MESSAGE };
        if !frames.admit(&buffer[..read], most) {
            tell.send_replace(Peer::TooLong);
            let _ = timeout(DRAIN, tokio::io::copy(&mut from, &mut tokio::io::sink())).await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        // The protocol may leave while the peer is silent.
        read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            () = tell.closed() => return,
        };
        if read == 0 {
            tell.send_replace(Peer::Gone);
            return;
        }
    }
}

/// Where in a message the stream is. The first has no kind before its length.
#[derive(Default)]
struct Frames {
    tagged: bool,
    header: Vec<u8>,
    left: usize,
}

impl Frames {
    /// Are the messages that begin in these bytes of a length that a message may have?
    fn admit(&mut self, mut bytes: &[u8], most: usize) -> bool {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            if self.left > 0 || bytes.is_empty() {
                break;
            }
            let head = if self.tagged { 5 } else { 4 };
            let taken = (head - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.header.len() < head {
                break;
            }
            let stated = self.header[head - 4..].try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX) as usize;
            // The length counts itself.
            if !(4..=most).contains(&stated) {
                return false;
            }
            (self.left, self.tagged) = (stated - 4, true);
            self.header.clear();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: usize) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body as u32 + 4).to_be_bytes());
        bytes.extend(vec![b'x'; body]);
        bytes
    }

    fn stream() -> Vec<u8> {
        let mut bytes = message(0, 20)[1..].to_vec();
        bytes.extend(message(b'Q', 0));
        bytes.extend(message(b'Q', 96));
        bytes
    }

    #[test]
    fn messages_are_admitted_by_their_lengths_however_they_are_cut() {
        for cut in 1..40 {
            let mut frames = Frames::default();
            assert!(stream().chunks(cut).all(|part| frames.admit(part, 100)), "cut in {cut}");
            assert_eq!((frames.left, frames.header.len()), (0, 0));
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_known_from_its_length_alone() {
        for (length, body) in [(101u32, "x"), (3, ""), (0, ""), (u32::MAX, ""), (1 << 31, "")] {
            let bytes = [&stream()[..], b"Q", &length.to_be_bytes(), body.as_bytes()].concat();
            for cut in 1..9 {
                let mut frames = Frames::default();
                assert!(!bytes.chunks(cut).all(|part| frames.admit(part, 100)), "{length} cut in {cut}");
            }
        }
    }
}
