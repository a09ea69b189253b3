//! What the parties prepare before they know their inputs; each correlation is used once.

mod switching;
pub mod waksman;
mod words;

pub use words::{Layout, WordKind};
