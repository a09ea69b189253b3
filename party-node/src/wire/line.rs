//! A connection's two sides: what comes is carried on message by message, so that a peer that leaves, or says what is no message, is
//! noticed while its question runs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::frames::{Broken, Frames, MAX_LOGIN_MESSAGE, MAX_MESSAGE};

/// After so long without a sign of the other machine it is asked for one; what it does not take for twice as long ends the connection.
const SILENT: Duration = Duration::from_secs(60);
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
    /// No more messages come, and why.
    Broken(Broken),
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
    // Whoever vanishes without a word gives its place back.
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENT).with_interval(SILENT / 4))?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(2 * SILENT))?;
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

/// A stream whose messages are watched; `known`: the peer has logged in.
pub fn watched(opened: Opened, known: Arc<AtomicBool>) -> (Line, watch::Receiver<Peer>) {
    let (reader, writer) = tokio::io::split(opened.stream);
    let reader = io::Cursor::new(opened.read).chain(reader);
    let (out, within) = tokio::io::duplex(AHEAD);
    let (tell, peer) = watch::channel(Peer::There);
    tokio::spawn(pump(reader, within, known, tell));
    (tokio::io::join(out, writer), peer)
}

/// Carries messages until the peer or the protocol leaves.
async fn pump(from: impl AsyncRead + Unpin, mut to: DuplexStream, known: Arc<AtomicBool>, tell: watch::Sender<Peer>) {
    let mut frames = Frames::new(from);
    let most = || if known.load(Ordering::Relaxed) { MAX_MESSAGE } else { MAX_LOGIN_MESSAGE };
    loop {
        // The protocol may leave while the peer is silent.
        let message = tokio::select! {
            message = frames.next(most) => message,
            () = tell.closed() => return,
        };
        match message {
            Ok(message) => {
                if to.write_all(&message).await.is_err() {
                    return;
                }
            }
            Err(why) => {
                tell.send_replace(Peer::Broken(why));
                if why != Broken::Gone {
                    let _ = timeout(DRAIN, tokio::io::copy(&mut frames.into_inner(), &mut tokio::io::sink())).await;
                }
                return;
            }
        }
    }
}
