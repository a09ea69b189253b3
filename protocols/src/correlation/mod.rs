//! What the parties prepare before they know their inputs; each correlation is used once.

pub mod waksman;
