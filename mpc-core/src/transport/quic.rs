//! Parties over QUIC: one connection for each pair, one unidirectional stream for each lane and direction.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use quinn::{
    ApplicationClose, Connection, ConnectionError, Endpoint, EndpointConfig, ReadExactError, RecvStream, TokioRuntime,
    VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::inbox::Inbox;
use super::{AbortNotice, BoxFuture, Frame, Header, LaneId, LinkError, Transport, tls};
use rustls::pki_types::CertificateDer;

use crate::control;
use crate::identity::Pin;
use crate::party::PartyId;

/// Close code of a party that is done.
const DONE: u32 = 0;
/// Close code of a party that stops the session; the reason is an encoded [`AbortNotice`].
const ABORT: u32 = 1;
/// Kernel buffers of a socket: 4 MiB holds two rounds of ten joined datagrams of every lane.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// A UDP endpoint with large kernel buffers, listening when a server configuration is given.
pub fn endpoint(address: SocketAddr, server: Option<quinn::ServerConfig>) -> io::Result<Endpoint> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel may grant less; that costs speed, not correctness.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    let socket: UdpSocket = socket.into();
    let mut config = EndpointConfig::default();
    // Without this a peer would never send us datagrams above 1472 bytes, whatever the path carries.
    config.max_udp_payload_size(tls::LOOPBACK_MTU).map_err(io::Error::other)?;
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
}

/// One party's end of a mesh.
pub struct QuicTransport {
    inbox: Arc<Inbox>,
    peers: HashMap<PartyId, Peer>,
}

struct Peer {
    connection: Connection,
    lanes: Mutex<HashMap<LaneId, UnboundedSender<Frame>>>,
    writers: Mutex<Vec<JoinHandle<()>>>,
}

impl QuicTransport {
    /// Takes over connections whose handshakes are done. Must be called inside a tokio runtime.
    pub fn new(connections: HashMap<PartyId, Connection>) -> Self {
        let inbox = Arc::new(Inbox::default());
        let peers = connections
            .into_iter()
            .map(|(party, connection)| {
                tokio::spawn(accept_lanes(inbox.clone(), party, connection.clone()));
                (party, Peer { connection, lanes: Mutex::default(), writers: Mutex::default() })
            })
            .collect();
        Self { inbox, peers }
    }

    /// Bytes of UDP payload this party has sent to all others.
    pub fn udp_bytes_sent(&self) -> u64 {
        self.peers.values().map(|peer| peer.connection.stats().udp_tx.bytes).sum()
    }
}

impl Peer {
    fn open_lane(&self, lane: LaneId) -> UnboundedSender<Frame> {
        let (sender, frames) = unbounded_channel();
        let writer = tokio::spawn(write_lane(self.connection.clone(), lane, frames));
        self.writers.lock().expect("no code panics while it holds the writers").push(writer);
        sender
    }

    /// Ends our lanes and waits until the other side has them.
    async fn take_leave(&self) {
        self.lanes.lock().expect("no code panics while it holds the lanes").clear();
        let writers = std::mem::take(&mut *self.writers.lock().expect("no code panics while it holds the writers"));
        for writer in writers {
            let _ = writer.await;
        }
    }
}

/// Accepts the other side's lanes until the connection ends, then says how it ended.
async fn accept_lanes(inbox: Arc<Inbox>, from: PartyId, connection: Connection) {
    let mut readers = Vec::new();
    let end = loop {
        match connection.accept_uni().await {
            Ok(stream) => readers.push(tokio::spawn(read_lane(inbox.clone(), from, stream))),
            Err(end) => break end,
        }
    };
    match end {
        ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(ABORT) => {
            inbox.fail_session(LinkError::Aborted { by: from, notice: read_notice(&close) });
        }
        ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed => {
            // It left in good order: what it sent before is handed out first.
            for reader in readers {
                let _ = reader.await;
            }
            inbox.fail_party(from, LinkError::Lost { party: from, detail: "has left the session".into() });
        }
        broken => inbox.fail_session(LinkError::Lost { party: from, detail: format!("connection lost: {broken}") }),
    }
}

async fn read_lane(inbox: Arc<Inbox>, from: PartyId, mut stream: RecvStream) {
    let mut lane = [0; 8];
    if stream.read_exact(&mut lane).await.is_err() {
        return;
    }
    let lane = LaneId(u64::from_le_bytes(lane));
    if !inbox.open(from, lane) {
        return inbox.fail_session(LinkError::Malformed { party: from, reason: "more lanes than a session may have" });
    }
    while inbox.room(from, lane).await {
        match read_frame(&mut stream).await {
            Ok(Some(frame)) => inbox.push(from, lane, None, frame),
            Ok(None) => return,
            Err(reason) => return inbox.fail_session(LinkError::Malformed { party: from, reason }),
        }
    }
}

/// The next frame; None at the end of the lane or of the connection. The length is checked before memory is taken.
async fn read_frame(stream: &mut RecvStream) -> Result<Option<Frame>, &'static str> {
    let mut header = [0; Header::BYTES];
    match stream.read_exact(&mut header).await {
        Ok(()) => (),
        Err(ReadExactError::FinishedEarly(0) | ReadExactError::ReadError(_)) => return Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => return Err("lane ends inside a frame header"),
    }
    let body_len = Header::decode(&header)?.body_len as usize;
    let mut body = BytesMut::zeroed(body_len);
    match stream.read_exact(&mut body).await {
        Ok(()) => Ok(Some(Frame { header, body: body.freeze() })),
        Err(ReadExactError::ReadError(_)) => Ok(None),
        Err(ReadExactError::FinishedEarly(_)) => Err("lane ends inside a frame"),
    }
}

/// Writes frames until the sender is dropped, then waits until the other side has them. A broken connection ends it
/// silently: the reading side reports it.
async fn write_lane(connection: Connection, lane: LaneId, mut frames: UnboundedReceiver<Frame>) {
    let Ok(mut stream) = connection.open_uni().await else { return };
    let mut chunks = vec![Bytes::copy_from_slice(&lane.0.to_le_bytes())];
    while let Some(frame) = frames.recv().await {
        chunks.push(Bytes::copy_from_slice(&frame.header));
        chunks.push(frame.body);
        if stream.write_all_chunks(&mut chunks).await.is_err() {
            return;
        }
        chunks.clear();
    }
    if stream.finish().is_ok() {
        let _ = stream.stopped().await;
    }
}

impl Transport for QuicTransport {
    fn send(&self, to: PartyId, lane: LaneId, frame: Frame) -> Result<(), LinkError> {
        let lost = |detail: &str| LinkError::Lost { party: to, detail: detail.into() };
        let peer = self.peers.get(&to).ok_or_else(|| lost("not connected"))?;
        let mut lanes = peer.lanes.lock().expect("no code panics while it holds the lanes");
        // A closed writer is a broken connection; the next receive says so with the transport's own words.
        let _ = lanes.entry(lane).or_insert_with(|| peer.open_lane(lane)).send(frame);
        Ok(())
    }

    fn recv(&self, from: PartyId, lane: LaneId) -> BoxFuture<'_, Result<Frame, LinkError>> {
        Box::pin(self.inbox.pop(from, lane))
    }

    fn abort(&self, notice: &AbortNotice) {
        self.peers.values().for_each(|peer| abort(&peer.connection, notice));
    }

    fn finish(&self, patience: Duration) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(async move {
            let leaves = join_all(self.peers.values().map(|peer| timeout(patience, peer.take_leave()))).await;
            self.peers.values().for_each(|peer| peer.connection.close(VarInt::from_u32(DONE), b"done"));
            match self.peers.keys().zip(leaves).find(|(_, left)| left.is_err()) {
                None => Ok(()),
                Some((party, _)) => {
                    Err(LinkError::Lost { party: *party, detail: "did not take the last messages".into() })
                }
            }
        })
    }
}

/// Closes one connection with the reason why the session is over.
pub fn abort(connection: &Connection, notice: &AbortNotice) {
    connection.close(VarInt::from_u32(ABORT), &control::encode(notice).unwrap_or_default());
}

/// The reason the other end gave when it stopped the session, if it did.
pub fn abort_notice(connection: &Connection) -> Option<AbortNotice> {
    match connection.close_reason()? {
        ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(ABORT) => {
            Some(read_notice(&close))
        }
        _ => None,
    }
}

fn read_notice(close: &ApplicationClose) -> AbortNotice {
    control::decode(&close.reason).unwrap_or_else(|_| AbortNotice::new(None, "no reason given"))
}

/// The pin of the key the other end proved to own.
pub fn peer_pin(connection: &Connection) -> Option<Pin> {
    let identity = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    identity.first().map(|spki| Pin::of(spki))
}
