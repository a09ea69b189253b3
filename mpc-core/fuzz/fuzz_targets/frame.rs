//! Bytes from a peer as frames, up to the session that takes them: no input panics, and what a session accepts is what
//! an honest sender would have sent.
#![no_main]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mpc_core::field::F61;
use mpc_core::random::PrivateSeed;
use mpc_core::session::{Seeds, Session, SessionId, Setup};
use mpc_core::transport::{AbortNotice, BoxFuture, Frame, Header, LaneId, LinkError, Transport};
use mpc_core::wire::{self, MAX_FRAME_BYTES};
use mpc_core::{Parties, PartyId, Result, Z64};

const PEER: PartyId = PartyId(1);

/// Plays a byte stream as the frames of party 1. The stream is cut exactly as the QUIC transport cuts it.
struct Replay {
    left: Mutex<Bytes>,
}

impl Replay {
    fn next(&self) -> std::result::Result<Frame, LinkError> {
        let mut left = self.left.lock().expect("one thread");
        let lost = LinkError::Lost { party: PEER, detail: "end of input".into() };
        let header: [u8; Header::BYTES] = left.get(..Header::BYTES).ok_or(lost.clone())?.try_into().expect("32 bytes");
        let decoded = Header::decode(&header).map_err(|reason| LinkError::Malformed { party: PEER, reason })?;
        assert_eq!(decoded.encode(), header, "a header has one encoding");
        let body_len = decoded.body_len as usize;
        assert!(body_len <= MAX_FRAME_BYTES);
        let frame = left.get(Header::BYTES..Header::BYTES + body_len).ok_or(lost)?;
        let frame = Frame { header, body: Bytes::copy_from_slice(frame) };
        *left = left.slice(frame.wire_len()..);
        Ok(frame)
    }
}

impl Transport for Replay {
    fn send(&self, _to: PartyId, _lane: LaneId, _frame: Frame) -> std::result::Result<(), LinkError> {
        Ok(())
    }

    fn recv(&self, _from: PartyId, _lane: LaneId) -> BoxFuture<'_, std::result::Result<Frame, LinkError>> {
        Box::pin(async { self.next() })
    }

    fn abort(&self, _notice: &AbortNotice) {}

    fn finish(&self, _within: Duration) -> BoxFuture<'_, std::result::Result<(), LinkError>> {
        Box::pin(async { Ok(()) })
    }
}

/// One column of each kind, two steps, an empty column; returns how many bytes of frames an honest peer sends for it.
async fn program(s: &mut Session) -> Result<usize> {
    let mut bytes = Vec::new();
    bytes.push(wire::encode(&s.recv::<Z64>(PEER, 2).await?));
    let mut step = s.step("field");
    bytes.push(wire::encode(&step.recv::<F61>(PEER, 1).await?));
    drop(step);
    bytes.push(wire::encode(&s.recv::<[u8; 32]>(PEER, 1).await?));
    bytes.push(wire::encode(&s.recv::<u8>(PEER, 0).await?));
    Ok(bytes.iter().map(|body| Header::BYTES + body.len()).sum())
}

thread_local! {
    // The deadline never runs out: a replay answers at once.
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime without I/O can always be built");
}

fuzz_target!(|data: &[u8]| {
    let _ = Header::decode(data);
    let stream = Bytes::copy_from_slice(data);
    let whole = Replay { left: Mutex::new(stream.clone()) };
    while whole.next().is_ok() {}

    let transport = Arc::new(Replay { left: Mutex::new(stream) });
    let mut session = Session::new(Setup {
        me: PartyId(0),
        parties: Parties::sites_only(2).expect("two sites"),
        id: SessionId(*b"the session of all fuzzed frames"),
        seeds: Seeds { private: PrivateSeed::new([0; 32]), pairs: HashMap::new() },
        transport: transport.clone(),
        deadline: Duration::from_secs(3600),
    });
    match RUNTIME.with(|runtime| runtime.block_on(program(&mut session))) {
        Ok(taken) => assert_eq!(data.len() - transport.left.lock().expect("one thread").len(), taken),
        Err(error) => assert_eq!(error.blamed(), [PEER], "{error}"),
    }
});
