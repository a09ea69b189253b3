//! The canonical encoding of a tuple of group keys: what sites agree on, byte for byte.
//!
//! Each value is a tag byte and a fixed little-endian body; text is a four-byte length and its bytes. One tuple has one
//! encoding and one encoding one tuple, so equal keys are equal bytes.

use crate::error::PlanError;
use crate::value::Value;

/// Encodes a tuple. The number of values is not written: it is the number of keys in the plan.
pub fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() * 9);
    for value in values {
        encode_one(value, &mut out);
    }
    out
}

/// Decodes a tuple.
///
/// # Errors
/// `BAD_KEY` when the bytes are not the encoding of a tuple: unknown tag, cut short, text that is not UTF-8, NaN or −0.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, PlanError> {
    let mut rest = bytes;
    let mut values = Vec::new();
    while !rest.is_empty() {
        values.push(decode_one(&mut rest)?);
    }
    Ok(values)
}

fn encode_one(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(b) => out.extend([BOOL, u8::from(*b)]),
        Value::Int(i) => tagged(out, INT, &i.to_le_bytes()),
        Value::Real(bits) => tagged(out, REAL, &bits.to_le_bytes()),
        Value::Decimal(x, scale) => {
            out.extend([DECIMAL, scale.to_le_bytes()[0]]);
            out.extend(x.to_le_bytes());
        }
        Value::Date(days) => tagged(out, DATE, &days.to_le_bytes()),
        Value::Timestamp(t) => tagged(out, TIMESTAMP, &t.to_le_bytes()),
        Value::Text(s) => {
            // A key is bounded by the plan's `max_key_bytes`, far below 4 GiB; a longer one could not be agreed anyway.
            tagged(out, TEXT, &u32::try_from(s.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend(s.as_bytes());
        }
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend(body);
}

fn decode_one(rest: &mut &[u8]) -> Result<Value, PlanError> {
    let [tag] = take::<1>(rest)?;
    Ok(match tag {
        NULL => Value::Null,
        BOOL => match take::<1>(rest)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return Err(bad("a truth value is 0 or 1")),
        },
        INT => Value::Int(i64::from_le_bytes(take(rest)?)),
        REAL => decode_real(u64::from_le_bytes(take(rest)?))?,
        DECIMAL => {
            let scale = i8::from_le_bytes(take(rest)?);
            Value::Decimal(i128::from_le_bytes(take(rest)?), scale)
        }
        DATE => Value::Date(i32::from_le_bytes(take(rest)?)),
        TIMESTAMP => Value::Timestamp(i64::from_le_bytes(take(rest)?)),
        TEXT => decode_text(rest)?,
        _ => return Err(bad("unknown tag")),
    })
}

fn decode_real(bits: u64) -> Result<Value, PlanError> {
    Value::real(f64::from_bits(bits)).filter(|v| *v == Value::Real(bits)).ok_or_else(|| bad("NaN or -0"))
}

fn decode_text(rest: &mut &[u8]) -> Result<Value, PlanError> {
    let len = u32::from_le_bytes(take(rest)?) as usize;
    let bytes = rest.get(..len).ok_or_else(|| bad("cut short"))?;
    *rest = &rest[len..];
    let text = std::str::from_utf8(bytes).map_err(|_| bad("text is not UTF-8"))?;
    Ok(Value::Text(text.to_owned()))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], PlanError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(|| bad("cut short"))?;
    *rest = tail;
    Ok(*head)
}

fn bad(why: &str) -> PlanError {
    PlanError::new("BAD_KEY", format!("an encoded group key is malformed: {why}"))
}

const NULL: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const REAL: u8 = 3;
const DECIMAL: u8 = 4;
const DATE: u8 = 5;
const TIMESTAMP: u8 = 6;
const TEXT: u8 = 7;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(|x| Value::real(x).unwrap_or(Value::Null)),
            (any::<i128>(), any::<i8>()).prop_map(|(x, s)| Value::Decimal(x, s)),
            any::<i32>().prop_map(Value::Date),
            any::<i64>().prop_map(Value::Timestamp),
            ".{0,20}".prop_map(Value::Text),
        ]
    }

    proptest! {
        #[test]
        fn a_tuple_comes_back_as_it_went(values in prop::collection::vec(value(), 0..6)) {
            prop_assert_eq!(decode(&encode(&values)).unwrap(), values);
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(0u8..9, 0..40)) {
            if let Ok(values) = decode(&bytes) {
                prop_assert_eq!(encode(&values), bytes);
            }
        }

        #[test]
        fn a_cut_tuple_never_decodes_to_the_same_tuple(values in prop::collection::vec(value(), 1..4), cut in 1usize..9) {
            let bytes = encode(&values);
            let short = &bytes[..bytes.len().saturating_sub(cut)];
            prop_assert_ne!(decode(short).ok(), Some(values));
        }
    }

    #[test]
    fn malformed_keys_are_refused() {
        for bytes in [&[9][..], &[1, 2], &[2, 0], &[7, 4, 0, 0, 0, b'a'], &[7, 1, 0, 0, 0, 0xff]] {
            assert_eq!(decode(bytes).unwrap_err().code, "BAD_KEY");
        }
        let minus_zero = [&[REAL][..], &(-0.0f64).to_bits().to_le_bytes()].concat();
        assert_eq!(decode(&minus_zero).unwrap_err().code, "BAD_KEY");
    }
}
