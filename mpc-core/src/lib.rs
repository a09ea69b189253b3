//! What every protocol stands on: parties, ring columns, randomness, wire formats, steps, sessions and transports.
//!
//! A protocol is a plain async function over one [`Session`]. The session tags every frame with its step, states the
//! length of what it receives, keys randomness by step and counts what was sent; the [`transport::Transport`] below it
//! moves bytes and knows nothing else.

pub mod bits;
pub mod block;
pub mod control;
pub mod doubling;
pub mod error;
pub mod field;
pub mod gf128;
pub mod group;
pub mod handshake;
pub mod hash;
pub mod identity;
pub mod leaves;
pub mod party;
pub mod random;
pub mod ring;
pub mod session;
pub mod simd;
pub mod stats;
pub mod step;
pub mod transport;
pub mod wire;
pub mod world;

pub use bits::Bits;
pub use block::Block;
pub use error::{Error, PeerFault, Result};
pub use party::{Parties, PartyId};
pub use ring::{PowerOfTwo, Ring, Z32, Z64, Z128};
pub use session::Session;
