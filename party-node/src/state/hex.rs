//! Byte arrays as lower-case hexadecimal text, for serde's `with` and for messages.

use std::fmt::Write;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// As text.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

/// From text of exactly `N` bytes. Capitals are refused: each value has one form.
pub(crate) fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| b"0123456789abcdef".iter().position(|d| *d == c).map(|d| d as u8);
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

pub(crate) fn serialize<const N: usize, S: Serializer>(bytes: &[u8; N], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&text(bytes))
}

pub(crate) fn deserialize<'de, const N: usize, D: Deserializer<'de>>(from: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("not {} lower-case hexadecimal digits", 2 * N)))
}
