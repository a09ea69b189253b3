//! The wire format against vectors that were derived without this crate: see `test-vectors/v1/README.md`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mpc_core::field::F61;
use mpc_core::random::PrivateSeed;
use mpc_core::session::{Seeds, SessionId, Setup};
use mpc_core::step::StepPath;
use mpc_core::transport::record::Log;
use mpc_core::transport::{AbortNotice, BoxFuture, Frame, Header, LaneId, LinkError, Transport};
use mpc_core::wire::{Bytes32, Wire};
use mpc_core::world::World;
use mpc_core::{Parties, PartyId, Result, Session, Z64, Z128, control, wire};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = format!("{}/test-vectors/v1/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    vectors(name).as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = text(hex).as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn headers_decode_to_their_fields_and_encode_to_the_same_bytes() {
    for case in cases("frame") {
        let header = Header::decode(&bytes(&case["bytes"])).unwrap();
        assert_eq!(u32::from(header.sender.0), number(&case["sender"]), "{case}");
        assert_eq!(header.body_len, number(&case["body_len"]), "{case}");
        assert_eq!(header.session.to_vec(), bytes(&case["session"]), "{case}");
        assert_eq!(header.step.0.to_vec(), bytes(&case["step"]), "{case}");
        assert_eq!(header.sequence, number(&case["sequence"]), "{case}");
        assert_eq!(header.depth, number(&case["depth"]), "{case}");
        assert_eq!(header.encode().to_vec(), bytes(&case["bytes"]), "{case}");
        assert_eq!(step(text(&case["path"])).id(), header.step, "{case}");
    }
}

/// The step of a path such as `/query/reveal#1/commit`.
fn step(path: &str) -> StepPath {
    path.split('/').skip(1).fold(StepPath::root(), |parent, label| match label.split_once('#') {
        Some((label, occurrence)) => parent.child(label, occurrence.parse().unwrap()),
        None => parent.child(label, 0),
    })
}

#[test]
fn what_is_no_header_is_refused_with_its_reason() {
    for case in cases("bad_frame") {
        assert_eq!(Header::decode(&bytes(&case["bytes"])), Err(text(&case["error"])), "{case}");
    }
}

#[test]
fn columns_decode_to_their_values_and_encode_to_the_same_bytes() {
    for case in cases("wire") {
        let bytes = bytes(&case["bytes"]);
        let values: Vec<u128> = match text(&case["type"]) {
            "Z64" => column(&bytes, |x: Z64| x.0.into()),
            "Z128" => column(&bytes, |x: Z128| x.0),
            "F61" => column(&bytes, |x: F61| x.value().into()),
            "u32" => column(&bytes, |x: u32| x.into()),
            // Longer than any integer of ours: compared as bytes.
            "Bytes32" => {
                assert_eq!(wire::decode::<Bytes32>(&bytes).unwrap().concat(), bytes);
                continue;
            }
            other => panic!("{other} is no element"),
        };
        let expected = case["values"].as_array().unwrap().iter().map(|v| text(v).parse().unwrap());
        assert_eq!(values, expected.collect::<Vec<u128>>(), "{case}");
    }
}

fn column<T: Wire>(bytes: &[u8], value: fn(T) -> u128) -> Vec<u128> {
    let column = wire::decode::<T>(bytes).unwrap();
    assert_eq!(wire::encode(&column), bytes);
    column.iter().copied().map(value).collect()
}

#[test]
fn bytes_that_are_no_column_are_refused() {
    for case in cases("bad_wire") {
        let bytes = bytes(&case["bytes"]);
        let refused = match text(&case["type"]) {
            "Z64" => wire::decode::<Z64>(&bytes).is_none(),
            "Z128" => wire::decode::<Z128>(&bytes).is_none(),
            "F61" => wire::decode::<F61>(&bytes).is_none(),
            "Bytes32" => wire::decode::<Bytes32>(&bytes).is_none(),
            other => panic!("{other} is no element"),
        };
        assert!(refused, "{case}");
    }
}

#[test]
fn notices_decode_to_their_fields_and_encode_to_the_same_bytes() {
    for case in cases("control") {
        let notice: AbortNotice = control::decode(&bytes(&case["bytes"])).unwrap();
        assert_eq!(notice.blamed.map(|p| u64::from(p.0)), case["blamed"].as_u64(), "{case}");
        assert_eq!(notice.reason, text(&case["reason"]), "{case}");
        assert_eq!(control::encode(&notice).unwrap(), bytes(&case["bytes"]), "{case}");
    }
}

#[test]
fn bytes_that_are_no_notice_are_refused_with_their_reason() {
    for case in cases("bad_control") {
        let error = control::decode::<AbortNotice>(&bytes(&case["bytes"])).unwrap_err();
        assert_eq!(error.to_string(), text(&case["error"]), "{case}");
    }
}

/// The program of `session.json`: an exchange at the root, one at a step, an empty column.
async fn program(session: &mut Session) -> Result<()> {
    let me = u64::from(session.me().0);
    session.exchange(&[Z64(me + 1), Z64(u64::MAX - me)]).await?;
    session.step("field").exchange(&[F61::reduce((1 << 61) - 2 - me)]).await?;
    session.exchange::<u8>(&[]).await?;
    Ok(())
}

#[test]
fn a_run_sends_exactly_the_derived_frames() {
    let run = vectors("session");
    for party in [PartyId(0), PartyId(1)] {
        let log = Log::default();
        let world = World::new(2).seed(run["seed"].as_u64().unwrap()).record(party, log.clone());
        let both = |mut session: Session, (): ()| async move {
            let result = program(&mut session).await;
            (session, result)
        };
        assert!(world.run(both, vec![(), ()]).iter().all(|o| o.result.is_ok()));
        let sent = log.lock().unwrap();
        let sent: Vec<Vec<u8>> = sent.iter().map(|(_, _, f)| [f.header.as_slice(), &f.body].concat()).collect();
        let derived: Vec<Vec<u8>> = run["frames"][party.index()].as_array().unwrap().iter().map(bytes).collect();
        assert_eq!(sent, derived, "{party}");
    }
}

#[test]
fn one_changed_frame_is_an_error_that_names_its_sender_and_step() {
    for case in cases("bad_session") {
        let frames = case["frames"].as_array().unwrap().iter().map(bytes).collect();
        assert_eq!(replay(frames).unwrap_err().to_string(), text(&case["error"]), "{case}");
    }
}

#[test]
fn the_unchanged_frames_are_accepted() {
    let frames = vectors("session")["frames"][1].as_array().unwrap().iter().map(bytes).collect();
    assert_eq!(replay(frames), Ok(()));
}

/// Party 0 runs the program against recorded frames of party 1.
fn replay(frames: VecDeque<Vec<u8>>) -> Result<()> {
    let id = bytes(&vectors("session")["session"]).try_into().unwrap();
    let mut session = Session::new(Setup {
        me: PartyId(0),
        parties: Parties::sites_only(2).unwrap(),
        id: SessionId(id),
        seeds: Seeds { private: PrivateSeed::new([0; 32]), pairs: HashMap::new() },
        transport: Arc::new(Replay { frames: Mutex::new(frames) }),
        deadline: Duration::from_secs(60),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(program(&mut session))
}

struct Replay {
    frames: Mutex<VecDeque<Vec<u8>>>,
}

impl Transport for Replay {
    fn send(&self, _to: PartyId, _lane: LaneId, _frame: Frame) -> std::result::Result<(), LinkError> {
        Ok(())
    }

    fn recv(&self, _from: PartyId, _lane: LaneId) -> BoxFuture<'_, std::result::Result<Frame, LinkError>> {
        let bytes = self.frames.lock().unwrap().pop_front().expect("every case ends before its frames do");
        let header = bytes[..Header::BYTES].try_into().unwrap();
        let body = Bytes::copy_from_slice(&bytes[Header::BYTES..]);
        Box::pin(async move { Ok(Frame { header, body }) })
    }

    fn abort(&self, _notice: &AbortNotice) {}

    fn finish(&self, _within: Duration) -> BoxFuture<'_, std::result::Result<(), LinkError>> {
        Box::pin(async { Ok(()) })
    }
}
