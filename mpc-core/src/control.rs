//! Control messages: few, small, before and beside the bulk data; and records of the same form on disk, which may be larger. The
//! only file that names bincode.

use bincode::config::Config;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Largest control message.
pub const MAX_CONTROL_BYTES: usize = 1 << 20;

/// Largest record.
pub const MAX_RECORD_BYTES: usize = 1 << 30;

/// Why a control message could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Over [`MAX_CONTROL_BYTES`], or [`MAX_RECORD_BYTES`].
    #[error("control message over 1 MiB, or record over 1 GiB")]
    TooLong,
    /// Not a message of this type and version.
    #[error("malformed control message")]
    Malformed,
    /// A message with bytes after its end.
    #[error("trailing bytes after a control message")]
    Trailing,
}

fn config<const LIMIT: usize>() -> impl Config {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<LIMIT>()
}

/// Encodes a control message: fixed-width little-endian integers, no maps.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ControlError> {
    let config = config::<MAX_CONTROL_BYTES>();
    let bytes = bincode::serde::encode_to_vec(message, config).map_err(|_| ControlError::Malformed)?;
    if bytes.len() > MAX_CONTROL_BYTES { Err(ControlError::TooLong) } else { Ok(bytes) }
}

/// Decodes a control message that must fill `bytes` exactly. The limit bounds every length before it is allocated.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ControlError> {
    if bytes.len() > MAX_CONTROL_BYTES {
        return Err(ControlError::TooLong);
    }
    whole(bytes, config::<MAX_CONTROL_BYTES>())
}

/// Encodes a record in the form of a message; wiped when dropped. Its length is counted first: a buffer that grows leaves copies
/// behind.
pub fn encode_record<T: Serialize>(record: &T) -> Result<Zeroizing<Vec<u8>>, ControlError> {
    let config = config::<MAX_RECORD_BYTES>();
    let length = bincode::serde::encode_into_std_write(record, &mut std::io::sink(), config)
        .map_err(|_| ControlError::Malformed)?;
    if length > MAX_RECORD_BYTES {
        return Err(ControlError::TooLong);
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    bincode::serde::encode_into_slice(record, &mut bytes, config).map_err(|_| ControlError::Malformed)?;
    Ok(bytes)
}

/// Decodes a record that must fill `bytes` exactly, as [`decode`].
pub fn decode_record<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ControlError> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(ControlError::TooLong);
    }
    whole(bytes, config::<MAX_RECORD_BYTES>())
}

fn whole<T: DeserializeOwned>(bytes: &[u8], config: impl Config) -> Result<T, ControlError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).map_err(|_| ControlError::Malformed)?;
    if used == bytes.len() { Ok(value) } else { Err(ControlError::Trailing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_is_an_error_and_not_an_allocation() {
        // 2^60 elements announced, none there: the limit answers before any memory is taken.
        let mut lie = (1u64 << 60).to_le_bytes().to_vec();
        lie.extend([0; 4]);
        assert_eq!(decode::<Vec<u64>>(&lie), Err(ControlError::Malformed));
        assert_eq!(decode::<String>(&lie), Err(ControlError::Malformed));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&(1u32, "x")).unwrap();
        assert_eq!(decode::<(u32, String)>(&bytes), Ok((1, "x".into())));
        bytes.push(0);
        assert_eq!(decode::<(u32, String)>(&bytes), Err(ControlError::Trailing));
        assert_eq!(decode_record::<(u32, String)>(&bytes), Err(ControlError::Trailing));
    }

    #[test]
    fn a_record_may_be_longer_than_a_message() {
        let long = vec![7u8; MAX_CONTROL_BYTES];
        assert_eq!(decode_record::<Vec<u8>>(&encode_record(&long).unwrap()), Ok(long));
    }
}
