//! Control messages: few, small, before and beside the bulk data. The only file that names bincode.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest control message.
pub const MAX_CONTROL_BYTES: usize = 1 << 20;

/// Why a control message could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Over [`MAX_CONTROL_BYTES`].
    #[error("control message over 1 MiB")]
    TooLong,
    /// Not a message of this type and version.
    #[error("malformed control message")]
    Malformed,
    /// A message with bytes after its end.
    #[error("trailing bytes after a control message")]
    Trailing,
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<MAX_CONTROL_BYTES>()
}

/// Encodes a control message: fixed-width little-endian integers, no maps.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ControlError> {
    let bytes = bincode::serde::encode_to_vec(message, config()).map_err(|_| ControlError::Malformed)?;
    if bytes.len() > MAX_CONTROL_BYTES { Err(ControlError::TooLong) } else { Ok(bytes) }
}

/// Decodes a control message that must fill `bytes` exactly. The limit bounds every length before it is allocated.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ControlError> {
    if bytes.len() > MAX_CONTROL_BYTES {
        return Err(ControlError::TooLong);
    }
    let (message, used) = bincode::serde::decode_from_slice(bytes, config()).map_err(|_| ControlError::Malformed)?;
    if used == bytes.len() { Ok(message) } else { Err(ControlError::Trailing) }
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
    }
}
