//! Control messages: no bytes panic or take memory beyond the limit, and a message has one encoding.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use mpc_core::PartyId;
use mpc_core::control::{decode, encode};
use mpc_core::identity::Pin;
use mpc_core::session::SessionId;
use mpc_core::transport::AbortNotice;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Every shape that the product's messages are made of.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    version: u16,
    job: [u8; 16],
    text: String,
    list: Vec<String>,
    digests: Vec<[u8; 32]>,
    choice: Choice,
    hint: Option<String>,
    time_ms: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Yes { nonce: [u8; 32] },
    No(String),
    Neither,
}

/// What handshakes exchange; the crate's own type is private.
#[derive(PartialEq, Serialize, Deserialize)]
struct KeyShare {
    session: SessionId,
    from: PartyId,
    point: [u8; 32],
}

impl Debug for KeyShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyShare")
    }
}

fn one_encoding<T: Debug + PartialEq + Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(message) = decode::<T>(bytes) {
        assert_eq!(encode(&message).as_deref(), Ok(bytes), "{message:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    one_encoding::<AbortNotice>(data);
    one_encoding::<KeyShare>(data);
    one_encoding::<Everything>(data);
    // A pin travels as text and may be written in capitals, so its bytes are not unique; the pin is.
    if let Ok(pin) = decode::<Pin>(data) {
        assert_eq!(decode(&encode(&pin).expect("a pin is short")), Ok(pin));
    }
    if let Ok(notice) = decode::<AbortNotice>(data) {
        let clean = AbortNotice::new(notice.blamed, &notice.reason);
        assert!(clean.reason.len() <= AbortNotice::MAX_REASON && !clean.reason.contains(char::is_control));
    }
});
