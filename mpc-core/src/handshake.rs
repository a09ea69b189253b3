//! What two connected parties say before frames flow: control messages on one stream, then the seed they share.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::control::{self, ControlError, MAX_CONTROL_BYTES};
use crate::group::EphemeralKey;
use crate::party::PartyId;
use crate::random::{PairSeed, os_bytes};
use crate::session::SessionId;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The connection broke.
    #[error("connection lost: {0}")]
    Link(String),
    /// Nothing came in time.
    #[error("silent")]
    Silent,
    /// A control message that is none.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The other side stands in another session or claims another place in it.
    #[error("disagrees on {0}")]
    Disagrees(&'static str),
    /// No randomness.
    #[error("the operating system gave no randomness")]
    Random,
}

/// The control stream of a connection: messages with a 4-byte length.
pub struct ControlStream {
    send: SendStream,
    recv: RecvStream,
    patience: Duration,
}

impl ControlStream {
    /// The dialling side opens the stream. Nothing on it waits longer than `patience` but [`ControlStream::recv_within`].
    pub async fn open(connection: &Connection, patience: Duration) -> Result<Self, HandshakeError> {
        let (send, recv) = within(patience, connection.open_bi()).await?;
        Ok(Self { send, recv, patience })
    }

    /// The listening side accepts it.
    pub async fn accept(connection: &Connection, patience: Duration) -> Result<Self, HandshakeError> {
        let (send, recv) = within(patience, connection.accept_bi()).await?;
        Ok(Self { send, recv, patience })
    }

    /// Sends a message.
    pub async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), HandshakeError> {
        let body = control::encode(message)?;
        let len = u32::try_from(body.len()).map_err(|_| ControlError::TooLong)?;
        let bytes = [&len.to_le_bytes(), body.as_slice()].concat();
        within(self.patience, self.send.write_all(&bytes)).await
    }

    /// Receives a message; its length is checked before memory is taken.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<T, HandshakeError> {
        self.recv_within(self.patience).await
    }

    /// Receives a message that may take as long as `patience`.
    pub async fn recv_within<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T, HandshakeError> {
        let mut len = [0; 4];
        within(patience, self.recv.read_exact(&mut len)).await?;
        let len = u32::from_le_bytes(len) as usize;
        if len > MAX_CONTROL_BYTES {
            return Err(ControlError::TooLong.into());
        }
        let mut body = vec![0; len];
        within(self.patience, self.recv.read_exact(&mut body)).await?;
        Ok(control::decode(&body)?)
    }

    /// Ends our side and waits until the other has read it.
    pub async fn close(mut self) {
        if self.send.finish().is_ok() {
            let _ = tokio::time::timeout(self.patience, self.send.stopped()).await;
        }
    }
}

async fn within<T, E: Display>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, HandshakeError> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done.map_err(link),
        Err(_) => Err(HandshakeError::Silent),
    }
}

fn link(error: impl Display) -> HandshakeError {
    HandshakeError::Link(error.to_string())
}

#[derive(Serialize, serde::Deserialize)]
struct KeyShare {
    session: SessionId,
    from: PartyId,
    point: [u8; 32],
}

/// Agrees the seed two parties share, from a fresh Ristretto exchange and the TLS exporter of their connection, both
/// bound to the session id (which contains both long-term keys). One round, 69 bytes each way. The other side's part may
/// take as long as `patience`.
///
/// # Errors
/// `Disagrees` when the other side is in another session, has another number, or sends no valid point.
pub async fn pair_seed(
    connection: &Connection,
    control: &mut ControlStream,
    session: SessionId,
    me: PartyId,
    peer: PartyId,
    patience: Duration,
) -> Result<PairSeed, HandshakeError> {
    let key = EphemeralKey::from_uniform(uniform_64()?);
    let mine = KeyShare { session, from: me, point: key.public() };
    control.send(&mine).await?;
    let theirs: KeyShare = control.recv_within(patience).await?;
    if theirs.session != session {
        return Err(HandshakeError::Disagrees("the session"));
    }
    if theirs.from != peer {
        return Err(HandshakeError::Disagrees("its place in the session"));
    }
    let secret = Zeroizing::new(key.agree(&theirs.point).ok_or(HandshakeError::Disagrees("the group"))?);
    let mut exported = Zeroizing::new([0; 32]);
    connection
        .export_keying_material(exported.as_mut_slice(), b"EXPORTER-consilium-pair-seed", &session.0)
        .map_err(|_| HandshakeError::Link("no keying material".into()))?;
    let (low, high) = if me < peer { (&mine, &theirs) } else { (&theirs, &mine) };
    let digest = Sha256::new()
        .chain_update(b"consilium pair seed v1\0")
        .chain_update(session.0)
        .chain_update([low.from.0, high.from.0])
        .chain_update(low.point)
        .chain_update(high.point)
        .chain_update(secret.as_slice())
        .chain_update(exported.as_slice())
        .finalize();
    Ok(PairSeed::new(digest.into()))
}

fn uniform_64() -> Result<[u8; 64], HandshakeError> {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&os_bytes().map_err(|_| HandshakeError::Random)?);
    bytes[32..].copy_from_slice(&os_bytes().map_err(|_| HandshakeError::Random)?);
    Ok(bytes)
}
